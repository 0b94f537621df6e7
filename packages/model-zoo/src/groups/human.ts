import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { keptFolder } from '../kept-folder.ts'
import { npmFile, npmVersion } from '../npm-packages.ts'
import { type PictureData, pictureData, raw, signed, unit } from '../picture-data.ts'
import { runScript } from '../scripts.ts'
import { type Expectation, type Oracle, ready, type ZooContext, type ZooModel } from '../zoo-model.ts'

const packageName = '@vladmandic/human'
const version = npmVersion(packageName)

async function archive(context: ZooContext, name: string): Promise<string> {
  const folder = await keptFolder(
    context.cacheDir,
    `human-${name}`,
    { scripts: [], arguments: version },
    async (out) => {
      const files = path.join(out, name)
      await mkdir(files)
      const source = (file: string) => npmFile(packageName, `models/${file}`)
      const text = await readFile(source(`${name}.json`), 'utf8')
      await writeFile(path.join(files, 'model.json'), text)
      const { weightsManifest } = JSON.parse(text) as { weightsManifest: { paths: string[] }[] }
      for (const shard of weightsManifest.flatMap(({ paths }) => paths)) {
        await copyFile(source(shard), path.join(files, shard))
      }
      await runScript(context, 'pack.py', ['zip', files, path.join(out, 'model.zip')])
      await rm(files, { recursive: true })
    }
  )
  return path.join(folder, 'model.zip')
}

function model(
  name: string,
  data: Omit<PictureData, 'channels'> & { channels?: 1 | 3 },
  expectations: Readonly<Record<string, Expectation>> = {},
  oracle?: () => Oracle
): ZooModel {
  return {
    name: `human-${name}`,
    group: 'trained by others',
    origin: `npm ${packageName}@${version}, TensorFlow.js graph model`,
    license: 'MIT (package)',
    ...(data.width < 256 && name !== 'movenet-lightning' ? {} : { runtimes: ['litert'] }),
    expectations: '*' in expectations ? expectations : { float32: ready, float16: ready, ...expectations },
    prepare: async (context) => ({
      sourcePath: await archive(context, name),
      format: 'tfjs',
      ...(await pictureData(context, { channels: 3, ...data })),
      ...(oracle === undefined ? {} : { oracle: oracle() })
    })
  }
}

// Its non-maximum suppression gathers boxes in a loop, in a tensor that grows.
const loops: Expectation = { states: ['unproven', 'failed'] }
const square = (side: number) => ({ height: side, width: side })

export const humanModels: readonly ZooModel[] = [
  model('emotion', { kind: 'faces', input: 'input_1', ...square(64), channels: 1, ...signed }),
  model('antispoof', { kind: 'faces', input: 'conv2d_input', ...square(128), ...unit }),
  model('liveness', { kind: 'faces', input: 'conv2d_1_input', ...square(32), ...unit }),
  model('blazeface', { kind: 'both', input: 'input', ...square(256), ...signed }),
  model('facemesh', { kind: 'faces', input: 'input_1', ...square(192), ...unit }),
  model('handlandmark-lite', { kind: 'both', input: 'input_1', ...square(224), ...unit }, {}, () => ({
    // The same network with the same weights, as MediaPipe itself publishes it.
    path: npmFile('@mediapipe/hands', 'hand_landmark_lite.tflite'),
    outputs: { Identity: 'Identity', Identity_1: 'Identity_1', Identity_2: 'Identity_2', Identity_3: 'Identity_3' }
  })),
  model('iris', { kind: 'faces', input: 'input_1', ...square(64), ...unit }),
  model('movenet-lightning', { kind: 'both', input: 'input', ...square(192), ...raw, dtype: 'int32' }),
  model(
    'handtrack',
    { kind: 'both', input: 'input_tensor', ...square(320), ...raw, dtype: 'uint8', evaluation: 64, calibration: 16 },
    { '*': loops }
  )
]
