import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const require = createRequire(import.meta.url)
const here = path.dirname(fileURLToPath(import.meta.url))
const root = path.resolve(here, '../../..')

export const python = process.env.SKERRY_TEST_PYTHON ?? path.join(root, '.tools/python/bin/python')

/** Where the wheel of ai-edge-litert keeps LiteRT's library, and the wheel's version. */
export async function findLiteRt(): Promise<{ liteRtLibrary: string; version: string }> {
  const program = [
    'import sysconfig, importlib.metadata as m',
    'print(sysconfig.get_path("platlib") + "/ai_edge_litert/libLiteRt.so")',
    'print(m.version("ai-edge-litert"))'
  ].join('\n')
  const [liteRtLibrary = '', version = ''] = (await run(python, ['-c', program])).stdout.trim().split('\n')
  return { liteRtLibrary, version }
}

/** The folder of the models that make-models.py makes; they are made once for each version of that script. */
export async function madeModels(): Promise<string> {
  const script = path.join(here, 'make-models.py')
  const version = createHash('sha256')
    .update(await readFile(script))
    .digest('hex')
    .slice(0, 16)
  const folder = path.join(root, '.tools/test-models', `runtimes-${version}`)
  if (existsSync(folder)) return folder
  await mkdir(path.dirname(folder), { recursive: true })
  const unfinished = await mkdtemp(`${folder}-`)
  await run(python, [script, unfinished], { maxBuffer: 64 * 1024 * 1024 })
  await rename(unfinished, folder)
  return folder
}

/** Path of a .tflite file inside a package. */
export function packagedModel(name: string, file: string): string {
  return path.join(path.dirname(require.resolve(`${name}/package.json`)), file)
}

type Border = Record<string, { dtype: string; shape: number[]; scales: number[]; zeroPoints: number[] }>
export type Reference = { signatures: string[]; inputs: Border; outputs: Border; values: Map<string, Uint8Array> }

/** What Python's ai-edge-litert says about a model, and its outputs for these inputs. */
export async function runInPython(model: string, inputs: ReadonlyMap<string, Uint8Array>): Promise<Reference> {
  const folder = await mkdtemp(path.join(tmpdir(), 'skerry-reference-'))
  try {
    for (const [name, bytes] of inputs) await writeFile(path.join(folder, `${name}.in`), bytes)
    const { stdout } = await run(python, [path.join(here, 'reference.py'), model, folder])
    const described = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Omit<Reference, 'values'>
    const values = new Map<string, Uint8Array>()
    for (const name of Object.keys(described.outputs)) {
      values.set(name, Uint8Array.from(await readFile(path.join(folder, `${name}.out`))))
    }
    return { ...described, values }
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** Numbers in [0, 1) that a seed decides (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
