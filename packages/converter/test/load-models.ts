import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { NamedArray } from '../src/array.ts'
import { readNpz, type SourceFormat } from '../src/index.ts'
import { runPython } from './real-parts.ts'

export type ModelToLoad = {
  path: string
  format: Exclude<SourceFormat, 'tflite'>
  signature?: string
  /** .npz with an array for each input by its name, or one for the only input. */
  valuesPath?: string
}

type LoadedTensor = { name: string; dtype: string; shape: number[] }

export type Loaded = {
  path: string
  /** Why it was refused; `unexpected` for anything that is no ConversionFailure. */
  code?: string
  message?: string
  inputs?: LoadedTensor[]
  outputs?: LoadedTensor[]
  names?: { inputs: Record<string, string>; outputs: Record<string, string> }
  signatures?: string[] | null
  /** What it left in its work folder. */
  left: string[]
  answers?: Map<string, NamedArray>
}

/** Loads models as a conversion does, all in one Python process, and runs those that come with values. */
export async function loadModels(models: readonly ModelToLoad[]): Promise<Loaded[]> {
  const folder = await mkdtemp(path.join(tmpdir(), 'skerry-load-'))
  try {
    const requests = models.map((model, index) => ({ ...model, answersPath: path.join(folder, `${index}.npz`) }))
    const list = path.join(folder, 'models.json')
    await writeFile(list, JSON.stringify(requests))
    const lines = (await runPython(path.join(import.meta.dirname, 'check-loading.py'), list)).trim().split('\n')
    return await Promise.all(
      lines.map(async (line, index) => {
        const loaded = JSON.parse(line) as Loaded
        const request = requests[index]
        if (request?.valuesPath === undefined || loaded.code !== undefined) return loaded
        return { ...loaded, answers: await readNpz(request.answersPath) }
      })
    )
  } finally {
    await rm(folder, { recursive: true })
  }
}
