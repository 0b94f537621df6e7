import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryPath } from '../../src/atomic-file.ts'
import { identityPath } from '../../src/identity.ts'

export type DiskState = {
  identity: 'none' | 'temporary' | 'whole'
  model: 'none' | 'empty part' | 'part' | 'whole part' | 'whole'
  partBytes: number
  result: 'none' | 'temporary' | 'whole'
}

/**
 * What a killed agent left, read as bytes and not through the agent's own classes. Throws for a file that has its final
 * name and is not whole, and for one that has no business there.
 */
export async function diskState(dataDir: string): Promise<DiskState> {
  const state: DiskState = { identity: 'none', model: 'none', partBytes: 0, result: 'none' }
  if (existsSync(identityPath(dataDir))) {
    const { deviceId, privateKey } = JSON.parse(await readFile(identityPath(dataDir), 'utf8')) as Record<string, string>
    if (deviceId === undefined || privateKey === undefined) throw new Error('half an identity')
    state.identity = 'whole'
  }
  if (existsSync(temporaryPath(identityPath(dataDir)))) state.identity = 'temporary'
  for (const name of await list(join(dataDir, 'artifacts'))) {
    const bytes = await readFile(join(dataDir, 'artifacts', name))
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    if (name === sha256) state.model = 'whole'
    else if (name === `${sha256}.part`) state.model = 'whole part'
    else if (/^[0-9a-f]{64}\.part$/.test(name)) state.model = bytes.byteLength === 0 ? 'empty part' : 'part'
    else throw new Error(`half a file has the name ${name}`)
    if (name.endsWith('.part')) state.partBytes = bytes.byteLength
  }
  for (const name of await list(join(dataDir, 'journal'))) {
    if (name.endsWith('.json.tmp')) state.result = 'temporary'
    else if (isWholeResult(await readFile(join(dataDir, 'journal', name)))) state.result = 'whole'
    else throw new Error(`half a result has the name ${name}`)
  }
  return state
}

/** A line of JSON with the length and the hash of what follows it. */
function isWholeResult(data: Buffer): boolean {
  const end = data.indexOf(0x0a)
  const head = JSON.parse(data.subarray(0, end).toString('utf8')) as { bodyBytes: number; sha256: string }
  const body = data.subarray(end + 1)
  return body.byteLength === head.bodyBytes && createHash('sha256').update(body).digest('hex') === head.sha256
}

async function list(directory: string): Promise<string[]> {
  return existsSync(directory) ? readdir(directory) : []
}
