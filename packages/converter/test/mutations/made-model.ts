import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rename } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { NamedArray } from '../../src/array.ts'
import { readNpz } from '../../src/npz.ts'
import type { VariantName } from '../../src/types.ts'
import { runPython } from '../real-parts.ts'

/** A .tflite file that claims to be `variant`; `data`: the fault is in the inputs that it is given. */
export type Candidate = { fault: string; variant: VariantName; file: string; data?: string }

export type MadeModel = {
  folder: string
  name: string
  about: string
  inputs: string[]
  outputs: string[]
  /** Share of right decisions of y:OUTPUT, or root of the mean squared error to target:OUTPUT. */
  measure: 'accuracy' | 'rmse'
  candidates: Candidate[]
}

/** One data set: inputs, the original's answers, and what is true of each output. */
export type DataSet = { samples: NamedArray[]; reference: NamedArray[]; truth: Map<string, NamedArray> }

const scripts = path.join(path.dirname(fileURLToPath(import.meta.url)), 'python')

/**
 * Trains a model and breaks it (python/make_model.py), about a minute; once for each version of the scripts.
 *
 * @param keep the folder of all made models.
 * @param source folder of the example model, for `faces-*`.
 */
export async function madeModel(name: string, keep: string, source?: string): Promise<MadeModel> {
  const folder = path.join(keep, `mutations-${await scriptsHash()}`, name)
  if (!existsSync(folder)) {
    await mkdir(path.dirname(folder), { recursive: true })
    const unfinished = await mkdtemp(`${folder}-`)
    await runPython(
      '-B',
      path.join(scripts, 'make_model.py'),
      name,
      unfinished,
      ...(source === undefined ? [] : [source])
    )
    await rename(unfinished, folder)
  }
  return openMadeModel(folder)
}

export async function openMadeModel(folder: string): Promise<MadeModel> {
  return {
    folder,
    ...(JSON.parse(await readFile(path.join(folder, 'model.json'), 'utf8')) as Omit<MadeModel, 'folder'>)
  }
}

export async function readDataSet({ folder, inputs, outputs }: MadeModel, name: string): Promise<DataSet> {
  const arrays = await readNpz(path.join(folder, `${name}.npz`))
  const answers = await readNpz(path.join(folder, `${name}.reference.npz`))
  const truth = outputs.flatMap((output) => {
    const array = arrays.get(`y:${output}`) ?? arrays.get(`target:${output}`)
    return array === undefined ? [] : [[output, array] as const]
  })
  return {
    samples: inputs.map((input) => valuesOf(arrays, input)),
    reference: outputs.map((output) => valuesOf(answers, output)),
    truth: new Map(truth)
  }
}

/** The inputs of a data set as a faulty preprocessing makes them. */
export async function readFaultyInputs({ folder, inputs }: MadeModel, name: string, fault: string) {
  const arrays = await readNpz(path.join(folder, `${name}@${fault}.npz`))
  return inputs.map((input) => valuesOf(arrays, input))
}

function valuesOf(arrays: ReadonlyMap<string, NamedArray>, name: string): NamedArray {
  const array = arrays.get(`x:${name}`)
  if (array === undefined) throw new Error(`no values of ${name}`)
  return { ...array, name }
}

async function scriptsHash(): Promise<string> {
  const hash = createHash('sha256')
  for (const file of (await readdir(scripts)).sort()) hash.update(await readFile(path.join(scripts, file)))
  return hash.digest('hex').slice(0, 16)
}
