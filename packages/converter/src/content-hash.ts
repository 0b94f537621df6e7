import { createHash, type Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import type { ConversionRequest, ConversionResult } from './types.ts'

export type ContentHash = { sha256: string; bytes: number }

/** SHA-256 of a file's bytes; of a folder, of each file's path in it, size and bytes, sorted by path. */
export async function contentHash(target: string): Promise<ContentHash> {
  const hash = createHash('sha256')
  const { size, isFolder } = await stat(target).then((found) => ({ size: found.size, isFolder: found.isDirectory() }))
  if (!isFolder) {
    await addFile(hash, target)
    return { sha256: hash.digest('hex'), bytes: size }
  }
  let bytes = 0
  const entries = await readdir(target, { recursive: true, withFileTypes: true })
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(target, path.join(entry.parentPath, entry.name)).split(path.sep).join('/'))
  for (const name of files.sort()) {
    const file = path.join(target, name)
    const own = (await stat(file)).size
    hash.update(`${name}\0${own}\0`)
    await addFile(hash, file)
    bytes += own
  }
  return { sha256: hash.digest('hex'), bytes }
}

export type InputHashes = Pick<ConversionResult, 'source' | 'calibrationSha256' | 'evaluationSha256'>

/** What a conversion is made from. */
export async function hashInputs(request: ConversionRequest): Promise<InputHashes> {
  const { sourcePath, format, calibrationPath, evaluationPath } = request
  const hashOf = async (file: string | undefined) => (file === undefined ? undefined : (await contentHash(file)).sha256)
  const source = { ...(await contentHash(sourcePath)), format }
  const calibrationSha256 = await hashOf(calibrationPath)
  const evaluationSha256 = await hashOf(evaluationPath)
  return {
    source,
    ...(calibrationSha256 === undefined ? {} : { calibrationSha256 }),
    ...(evaluationSha256 === undefined ? {} : { evaluationSha256 })
  }
}

async function addFile(hash: Hash, file: string): Promise<void> {
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer)
}
