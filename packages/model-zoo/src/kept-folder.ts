import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

/** Scripts that make models and data. */
export const scriptsFolder = path.join(path.dirname(fileURLToPath(import.meta.url)), '../python')

/** Two models of one folder are prepared at the same time; it is made once. */
const inTheMaking = new Map<string, Promise<string>>()

/**
 * A folder that is made once for equal keys and scripts, and kept: it appears whole or not at all.
 *
 * @param scripts names of the files in python/ that take part.
 */
export async function keptFolder(
  cacheDir: string,
  name: string,
  key: { scripts: readonly string[]; arguments: unknown },
  make: (folder: string) => Promise<void>
): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify(key.arguments))
  for (const script of [...key.scripts].sort()) {
    hash.update(script).update(await readFile(path.join(scriptsFolder, script)))
  }
  const folder = path.join(cacheDir, `${name}-${hash.digest('hex').slice(0, 16)}`)
  const making = inTheMaking.get(folder) ?? makeOnce(folder, make)
  inTheMaking.set(folder, making)
  try {
    return await making
  } finally {
    inTheMaking.delete(folder)
  }
}

async function makeOnce(folder: string, make: (folder: string) => Promise<void>): Promise<string> {
  if (existsSync(folder)) return folder
  await mkdir(path.dirname(folder), { recursive: true })
  const unfinished = await mkdtemp(`${folder}.`)
  try {
    await make(unfinished)
    // Another process may have been faster; what it made is the same.
    await rename(unfinished, folder).catch(async (error: NodeJS.ErrnoException) => {
      if (!existsSync(folder) || (await readdir(folder)).length === 0) throw error
    })
  } finally {
    await rm(unfinished, { recursive: true, force: true })
  }
  return folder
}
