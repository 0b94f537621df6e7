import type { Static } from 'typebox'
import { Type } from './type.ts'

export const RuntimeName = Type.Enum(['litert', 'tfjs-tflite', 'tfjs-tflite-node'])
export type RuntimeName = Static<typeof RuntimeName>
export const RuntimeInfo = Type.Object({ name: RuntimeName, version: Type.String() })
export type RuntimeInfo = Static<typeof RuntimeInfo>
