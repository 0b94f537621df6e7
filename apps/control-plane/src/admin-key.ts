import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { newSecret, type Registry } from '@skerry/registry'

/** The first administrator's key lies in the data directory, mode 0600; it is made once, and registered at each start. */
export async function ensureAdminKey(dataDir: string, registry: Registry): Promise<string> {
  const file = path.join(dataDir, 'admin.key')
  let key = await readFile(file, 'utf8').then(
    (text) => text.trim(),
    () => ''
  )
  if (key === '') {
    key = newSecret('skerry')
    await mkdir(dataDir, { recursive: true })
    await writeFile(`${file}.new`, `${key}\n`, { mode: 0o600 })
    await rename(`${file}.new`, file)
  }
  await registry.access.setApiKey('admin', key)
  return file
}
