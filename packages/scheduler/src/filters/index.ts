import type { Filter } from '../framework.ts'
import { batteryFilter } from './battery.ts'
import { capabilityFilter } from './capability.ts'
import { diskFilter } from './disk.ts'
import { heatFilter } from './heat.ts'
import { memoryFilter } from './memory.ts'
import { operatorsFilter } from './operators.ts'
import { selectorFilter } from './selector.ts'
import { servesFilter } from './serves.ts'
import { spreadFilter } from './spread.ts'
import { stateFilter } from './state.ts'
import { taintsFilter } from './taints.ts'
import { trustFilter } from './trust.ts'

/** In the order in which they are asked: the first refusal is the one that an explanation counts. */
export const FILTERS: readonly Filter[] = [
  stateFilter,
  selectorFilter,
  taintsFilter,
  capabilityFilter,
  servesFilter,
  trustFilter,
  operatorsFilter,
  memoryFilter,
  diskFilter,
  heatFilter,
  batteryFilter,
  spreadFilter
]
