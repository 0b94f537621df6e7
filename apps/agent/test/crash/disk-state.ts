import { createHash, createPrivateKey } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryPath } from '../../src/atomic-file.ts'
import { identityPath, publicKeyOf } from '../../src/identity.ts'

export type DiskState = {
  /** Public keys of those that it holds: its own, and the one that may take its place. */
  keys: string[]
  config: 'none' | 'temporary' | 'whole'
  library: 'none' | 'part' | 'whole, no statement' | 'whole, temporary statement' | 'whole, with its statement'
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
  const state: DiskState = {
    keys: [],
    config: 'none',
    library: 'none',
    identity: 'none',
    model: 'none',
    partBytes: 0,
    result: 'none'
  }
  if (existsSync(identityPath(dataDir))) {
    const text = await readFile(identityPath(dataDir), 'utf8')
    const { deviceId, privateKey, nextPrivateKey } = JSON.parse(text) as Record<string, string>
    if (deviceId === undefined || privateKey === undefined) throw new Error('half an identity')
    state.identity = 'whole'
    state.keys = [privateKey, nextPrivateKey].flatMap((key) =>
      key === undefined ? [] : [publicKeyOf(privateKeyOf(key))]
    )
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
  const config = join(dataDir, 'remote-config.json')
  if (existsSync(temporaryPath(config))) state.config = 'temporary'
  if (existsSync(config)) {
    JSON.parse(await readFile(config, 'utf8'))
    state.config = 'whole'
  }
  state.library = await libraryState(join(dataDir, 'libraries'))
  return state
}

async function libraryState(directory: string): Promise<DiskState['library']> {
  const names = await list(directory)
  const file = names.find((name) => /^[0-9a-f]{64}$/.test(name))
  if (file === undefined) return names.some((name) => name.endsWith('.part')) ? 'part' : 'none'
  const bytes = await readFile(join(directory, file))
  if (createHash('sha256').update(bytes).digest('hex') !== file) throw new Error('half a library has its name')
  if (names.includes('litert.json')) {
    const { library } = JSON.parse(await readFile(join(directory, 'litert.json'), 'utf8')) as {
      library: { sha256: string }
    }
    if (!names.includes(library.sha256)) throw new Error('the statement is about a library that is not there')
    return 'whole, with its statement'
  }
  return names.includes('litert.json.tmp') ? 'whole, temporary statement' : 'whole, no statement'
}

const privateKeyOf = (base64: string) =>
  createPrivateKey({ key: Buffer.from(base64, 'base64'), format: 'der', type: 'pkcs8' })

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
