import { mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Makes a rename in this directory survive a power loss. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

export const temporaryPath = (path: string): string => `${path}.tmp`

/**
 * Writes a whole file so that a crash or a power loss at any point leaves the old content or the new one: a temporary
 * file beside it, fsync, rename, fsync of the directory. The mode holds from the first byte on. A temporary file that a
 * crash left is overwritten by the next write, or removed by whoever reads `path` first: one process writes a file.
 */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array,
  mode: number,
  onWritten: () => void = () => undefined
): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const temporary = temporaryPath(path)
  await rm(temporary, { force: true })
  try {
    const file = await open(temporary, 'wx', mode)
    try {
      await file.writeFile(data)
      await file.sync()
    } finally {
      await file.close()
    }
    onWritten()
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  await syncDirectory(dirname(path))
}
