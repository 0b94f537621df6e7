import path from 'node:path'
import { buildExampleModel } from '@skerry/converter'
import { type PictureData, pictureData, raw, signed } from '../picture-data.ts'
import { madeFolder } from '../scripts.ts'
import { type Expectation, ready, type ZooModel } from '../zoo-model.ts'

const license = 'Apache-2.0 (architecture of keras.applications)'

/** The worked example of the documentation, at its smaller width. */
const example: ZooModel = {
  name: 'mobilenet-v2-face',
  group: 'keras.applications',
  origin: 'buildExampleModel, MobileNetV2 alpha .35, 224 x 224',
  license,
  moreVariants: ['float32-dynamicbatch', 'full_int8-uint8', 'full_int8-float', 'full_int8-pertensor'],
  expectations: { float32: ready, float16: ready, dynamic_int8: ready, 'float32-dynamicbatch': ready },
  async prepare(context) {
    const outDir = path.join(context.cacheDir, 'mobilenet-v2-face')
    const built = await buildExampleModel({ python: context.python, outDir, alpha: 0.35 })
    const { modelPath, calibrationPath, evaluationPath } = built
    return { sourcePath: modelPath, format: 'keras', calibrationPath, evaluationPath }
  }
}

function model(
  name: string,
  architecture: string,
  side: number,
  range: Pick<PictureData, 'scale' | 'offset'>,
  expectations: Readonly<Record<string, Expectation>> = {}
): ZooModel {
  return {
    name: `${name}-face`,
    group: 'keras.applications',
    origin: `keras.applications.${architecture}, ${side} x ${side}, batch statistics and last layer from real pictures`,
    license,
    runtimes: ['litert'],
    expectations: { float32: ready, float16: ready, ...expectations },
    async prepare(context) {
      const wanted = JSON.stringify({ architecture, side, ...range })
      const folder = await madeFolder(
        context,
        architecture,
        'make_application.py',
        [wanted],
        ['pictures.py', 'face_head.py']
      )
      const shape = { height: side, width: side, channels: 3, ...range } as const
      const data = await pictureData(context, { kind: 'faces', input: 'image', labelled: true, ...shape })
      return { sourcePath: path.join(folder, 'model.keras'), format: 'keras', ...data }
    }
  }
}

export const applicationModels: readonly ZooModel[] = [
  example,
  model('mobilenet-v3-small', 'MobileNetV3Small', 128, raw),
  model('efficientnet-b0', 'EfficientNetB0', 128, raw),
  model('resnet50', 'ResNet50', 96, signed),
  model('nasnet-mobile', 'NASNetMobile', 96, signed)
]
