import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rename } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const here = path.dirname(fileURLToPath(import.meta.url))
const root = path.resolve(here, '../../..')

export const python = process.env.SKERRY_TEST_PYTHON ?? path.join(root, '.tools/python/bin/python')

export async function runPython(...args: string[]): Promise<string> {
  return (await run(python, args, { maxBuffer: 64 << 20 })).stdout
}

/** LiteRT's library in the wheel of ai-edge-litert, and the wheel's version. */
export async function findLiteRt(): Promise<{ liteRtLibrary: string; liteRtVersion: string }> {
  const program =
    'import sysconfig, importlib.metadata as m; ' +
    'print(sysconfig.get_path("platlib") + "/ai_edge_litert/libLiteRt.so", m.version("ai-edge-litert"))'
  const [liteRtLibrary = '', liteRtVersion = ''] = (await runPython('-c', program)).trim().split(' ')
  return { liteRtLibrary, liteRtVersion }
}

/** The folder of what a script here makes; it is made once for each version of that script. */
export async function madeModels(name = 'make-models.py'): Promise<string> {
  const script = path.join(here, name)
  const hash = createHash('sha256').update(await readFile(script))
  const folder = path.join(root, '.tools/test-models', `converter-${hash.digest('hex').slice(0, 16)}`)
  if (existsSync(folder)) return folder
  await mkdir(path.dirname(folder), { recursive: true })
  const unfinished = await mkdtemp(`${folder}-`)
  await runPython(script, unfinished)
  await rename(unfinished, folder)
  return folder
}
