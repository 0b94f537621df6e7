import type { Static } from 'typebox'
import { Type } from './type.ts'

export const RuntimeName = Type.Enum(['litert', 'tfjs-tflite', 'tfjs-tflite-node'])
export type RuntimeName = Static<typeof RuntimeName>
export const RuntimeInfo = Type.Object({
  name: RuntimeName,
  version: Type.String(),
  accelerators: Type.Optional(
    Type.Array(Type.String({ maxLength: 32 }), {
      maxItems: 16,
      description: 'What the runtime found to run models on, such as cpu, gpu, npu; where it tells'
    })
  )
})
export type RuntimeInfo = Static<typeof RuntimeInfo>
