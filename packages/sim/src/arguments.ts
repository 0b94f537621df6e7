import { parseArgs } from 'node:util'
import { UNDISTURBED } from './world.ts'

export const USAGE = `npm run sim -- --latency FILE --arrivals FILE [--devices 104] [--requests N] [--load 0.8] [--deadline 5] [--seed 1]
  [--seeds N] [--policies a,b] [--plot FILE.svg] [--json]
  World: [--noise 0.15] [--churn SHARE] [--drift SHARE] [--drift-factor 5] [--complete] [--capacity asked|rows]
         [--memory-models N [--absent SHARE]]
    --complete: only models that every device runs. --capacity rows: a device's mean latency over its table's rows alike.
    --memory-models: cold starts; a device keeps so many models loaded. --absent: artifacts that it must fetch first.
  --predict: only the prediction error for pairs that never ran
  --matrix: all of --loads 0.3,0.5,0.65,0.8,0.95,1.1 and --deadlines 2,5; --markdown FILE --section NAME puts the tables
    between <!-- NAME:begin --> and <!-- NAME:end -->; --bound-seeds 1: seeds that the bound is worked out for`

const OPTIONS = {
  latency: { type: 'string' },
  arrivals: { type: 'string' },
  devices: { type: 'string', default: '104' },
  requests: { type: 'string', default: '0' },
  load: { type: 'string', default: '0.8' },
  deadline: { type: 'string', default: '5' },
  seed: { type: 'string', default: '1' },
  seeds: { type: 'string', default: '1' },
  policies: { type: 'string' },
  noise: { type: 'string', default: String(UNDISTURBED.noise) },
  churn: { type: 'string', default: '0' },
  drift: { type: 'string', default: '0' },
  'drift-factor': { type: 'string', default: String(UNDISTURBED.driftFactor) },
  'memory-models': { type: 'string', default: '0' },
  absent: { type: 'string', default: '0' },
  complete: { type: 'boolean', default: false },
  capacity: { type: 'string', default: 'asked' },
  plot: { type: 'string' },
  json: { type: 'boolean', default: false },
  predict: { type: 'boolean', default: false },
  matrix: { type: 'boolean', default: false },
  loads: { type: 'string', default: '0.3,0.5,0.65,0.8,0.95,1.1' },
  deadlines: { type: 'string', default: '2,5' },
  markdown: { type: 'string' },
  section: { type: 'string', default: 'sim' },
  'bound-seeds': { type: 'string', default: '1' }
} as const

export type SimArguments = ReturnType<typeof parseSimArguments>

/** @throws RangeError when a number is none or out of its range. */
export function parseSimArguments(argv: readonly string[]) {
  const { values } = parseArgs({ args: [...argv], options: OPTIONS })
  const number = (name: keyof typeof values, least = 0): number => {
    const value = Number(values[name])
    if (!Number.isFinite(value) || value < least) throw new RangeError(`--${name} must be a number from ${least} on`)
    return value
  }
  const numbers = (name: 'loads' | 'deadlines'): number[] =>
    values[name].split(',').map((each) => {
      if (!(Number(each) > 0)) throw new RangeError(`--${name} must be numbers above 0, with commas`)
      return Number(each)
    })
  const { capacity } = values
  if (capacity !== 'asked' && capacity !== 'rows') throw new RangeError('--capacity is asked or rows')
  const first = number('seed')
  return {
    ...values,
    first,
    seeds: Array.from({ length: number('seeds', 1) }, (_, i) => first + i),
    names: values.policies?.split(','),
    fleet: {
      devices: number('devices', 1),
      requests: number('requests'),
      load: number('load', 1e-3),
      deadline: number('deadline', 1e-3),
      capacity: capacity as 'asked' | 'rows'
    },
    disturbance: {
      noise: number('noise'),
      churn: number('churn'),
      drift: number('drift'),
      driftFactor: number('drift-factor', 1),
      memoryModels: number('memory-models'),
      absent: number('absent')
    },
    loads: numbers('loads'),
    deadlines: numbers('deadlines'),
    boundSeeds: number('bound-seeds')
  }
}
