import { mkdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Preprocessing } from '@skerry/converter'
import { keptFolder } from '../kept-folder.ts'
import { npmModule, npmVersion } from '../npm-packages.ts'
import { pictureArchives } from '../picture-data.ts'
import { runScript } from '../scripts.ts'
import { ready, readyOrRejected, type ZooContext, type ZooModel } from '../zoo-model.ts'

const version = npmVersion('nsfwjs')

// As nsfwjs prepares pictures.
const preprocessing: Preprocessing = {
  kernel: 'bilinear',
  fit: 'stretch',
  colors: 'rgb',
  scale: 1 / 255,
  offset: 0,
  layout: 'nhwc'
}
const labels = ['Drawing', 'Hentai', 'Neutral', 'Porn', 'Sexy']

type TfjsModel = { weightsManifest: { paths: string[] }[] }

/** The package holds its models as JavaScript modules: a model.json, and shards in base 64. */
async function archive(context: ZooContext, name: string): Promise<string> {
  const folder = await keptFolder(
    context.cacheDir,
    `nsfwjs-${name}`,
    { scripts: [], arguments: version },
    async (out) => {
      const files = path.join(out, name)
      await mkdir(files)
      const model = npmModule('nsfwjs', `dist/models/${name}/model.min.js`) as TfjsModel
      await writeFile(path.join(files, 'model.json'), JSON.stringify(model))
      for (const shard of model.weightsManifest.flatMap(({ paths }) => paths)) {
        const content = npmModule('nsfwjs', `dist/models/${name}/${shard}.min.js`) as string
        await writeFile(path.join(files, shard), Buffer.from(content, 'base64'))
      }
      await runScript(context, 'pack.py', ['zip', files, path.join(out, 'model.zip')])
      await rm(files, { recursive: true })
    }
  )
  return path.join(folder, 'model.zip')
}

const model = (name: string, folder: string, kind: string, heavy = false): ZooModel => ({
  name: `nsfwjs-${name}`,
  group: 'trained by others',
  origin: `npm nsfwjs@${version}, ${kind}`,
  license: 'MIT',
  ...(heavy ? { runtimes: ['litert'] } : {}),
  // Its weights were 8 bits wide when they were published: quantized again it is near what is allowed.
  expectations: { '*': readyOrRejected, float32: ready, float16: ready },
  prepare: async (context) => ({
    sourcePath: await archive(context, folder),
    format: 'tfjs',
    ...(await pictureArchives(context, 'tiles')),
    preprocessing,
    labels
  })
})

export const nsfwjsModels: readonly ZooModel[] = [
  model('mobilenet-v2', 'mobilenet_v2', 'TensorFlow.js layers model'),
  model('mobilenet-v2-mid', 'mobilenet_v2_mid', 'TensorFlow.js graph model', true),
  model('inception-v3', 'inception_v3', 'TensorFlow.js layers model', true)
]
