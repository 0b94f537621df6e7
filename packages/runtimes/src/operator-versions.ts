import { litert } from './operator-tables/litert.ts'
import { tfjsTflite } from './operator-tables/tfjs-tflite.ts'
import { tfjsTfliteNode } from './operator-tables/tfjs-tflite-node.ts'
import type { RuntimeName } from './runtime.ts'

export type OperatorTable = {
  /** The runtime's version that gave these answers. */
  version: string
  /** First and last version of each builtin operator; all between them are there too. */
  builtins: Readonly<Record<string, readonly [first: number, last: number]>>
  custom: readonly string[]
}

export const operatorVersions: Readonly<Record<RuntimeName, OperatorTable>> = {
  litert,
  'tfjs-tflite': tfjsTflite,
  'tfjs-tflite-node': tfjsTfliteNode
}
