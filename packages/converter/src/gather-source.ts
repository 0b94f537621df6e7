import { copyFile, mkdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { ConversionError } from './conversion-error.ts'
import { sourceFiles } from './source-format.ts'
import type { ConversionRequest } from './types.ts'
import type { WorkFolder } from './work-folder.ts'

/**
 * A bare model.json and its weight shards as a folder of their own, so that what is read, hashed and let into the
 * sandbox is the model and nothing that lies beside it. Any other source is one path already.
 *
 * @throws ConversionError `not-a-model` when a shard is missing; then nothing is left in the work folder.
 */
export async function gatherSource({ sourcePath, format }: ConversionRequest, work: WorkFolder): Promise<string> {
  try {
    if ((await stat(sourcePath)).isDirectory()) return sourcePath
    const [model = sourcePath, ...shards] = await sourceFiles(sourcePath, format)
    if (shards.length === 0) return sourcePath
    const folder = work.file('gathered')
    await mkdir(folder)
    await copyFile(model, path.join(folder, 'model.json'))
    for (const shard of shards) {
      await copyFile(shard, path.join(folder, path.basename(shard))).catch((cause: NodeJS.ErrnoException) => {
        const why = cause.code === 'ENOENT' ? 'is missing' : `cannot be read: ${cause.message}`
        throw new ConversionError('not-a-model', `The weight file ${path.basename(shard)} of the model ${why}.`, {
          cause
        })
      })
    }
    return folder
  } catch (error) {
    await work.discard()
    throw error
  }
}
