import { applicationModels } from './groups/applications.ts'
import { humanModels } from './groups/human.ts'
import { madeModels } from './groups/made.ts'
import { mediapipeModels } from './groups/mediapipe.ts'
import { nsfwjsModels } from './groups/nsfwjs.ts'
import { pythonPackageModels } from './groups/python-packages.ts'
import type { ZooModel } from './zoo-model.ts'

/** What every model is asked for; a ready .tflite file only passes through. */
export const ZOO_VARIANTS = [
  'float32',
  'float16',
  'dynamic_int8',
  'full_int8',
  'int16x8',
  'dynamic_int8-litertq',
  'full_int8-litertq'
] as const

/** The models on which conversion is proven, in the order of the table. */
export const ZOO_MODELS: readonly ZooModel[] = [
  ...pythonPackageModels,
  ...nsfwjsModels,
  ...humanModels,
  ...mediapipeModels,
  ...applicationModels,
  ...madeModels
]

/** @throws RangeError naming the models there are. */
export function zooModel(name: string): ZooModel {
  const found = ZOO_MODELS.find((model) => model.name === name)
  if (found !== undefined) return found
  throw new RangeError(`There is no model ${name}; there are ${ZOO_MODELS.map((model) => model.name).join(', ')}.`)
}
