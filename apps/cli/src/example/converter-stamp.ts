import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { repositoryRoot } from '../config.ts'

/** Stands for the converter as it is here: its Python, its own code, and the versions that it is pinned to. */
export async function converterStampOf(): Promise<string> {
  const hash = createHash('sha256').update(await readFile(path.join(repositoryRoot, 'python/requirements.txt')))
  for (const folder of ['packages/converter/python/skerry_converter', 'packages/converter/dist'])
    for (const file of (await readdir(path.join(repositoryRoot, folder))).sort())
      if (/\.(py|js)$/.test(file)) hash.update(file).update(await readFile(path.join(repositoryRoot, folder, file)))
  return hash.digest('hex').slice(0, 16)
}
