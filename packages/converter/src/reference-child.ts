/*
 * A process of its own: TensorFlow takes 600 MB of memory, and tfjs-node's version of tfjs-core is another than the
 * runtimes'. Runs the exported SavedModel on the samples and reports how far it is from the reference outputs.
 */
import { createRequire } from 'node:module'
import { type ArrayDtype, elementsOf, type NamedArray, rows, toNumbers } from './array.ts'
import { NpzError, readNpz } from './npz.ts'
import type { NameMap } from './types.ts'

export type ReferenceRequest = { exportPath: string; samplesPath: string; referencePath: string; names: NameMap }

type TfTensor = { data(): Promise<ArrayLike<number | bigint>>; dispose(): void }
type TfModel = { predict(inputs: Record<string, TfTensor>): Record<string, TfTensor> }
// What is used of tfjs-node; its own types are generated against a package that is not installed here.
type TfjsNode = {
  version: { 'tfjs-node': string }
  tensor(data: unknown, shape: number[], dtype: 'float32' | 'int32' | 'bool'): TfTensor
  node: { loadSavedModel(path: string, tags: string[], signature: string): Promise<TfModel> }
}

/** Not everything that a model takes is a tensor in tfjs-node; nothing is wrong with the model then. */
class Unsupported extends Error {}

const report = (event: string, fields: Record<string, unknown>) =>
  process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`)

/** What tfjs-node's SavedModels take: for a uint8 input an int32 tensor, for others a tensor of their own type. */
const inputDtypes: Partial<Record<ArrayDtype, 'float32' | 'int32' | 'bool'>> = {
  float32: 'float32',
  int32: 'int32',
  uint8: 'int32',
  bool: 'bool'
}
const outputDtypes: readonly ArrayDtype[] = ['float32', 'int32', 'int64', 'bool']

async function main(request: ReferenceRequest): Promise<void> {
  const { names } = request
  const samples = await readTensors(request.samplesPath)
  const reference = await readTensors(request.referencePath)
  const unknown =
    samples.find(({ dtype }) => inputDtypes[dtype] === undefined) ??
    reference.find(({ dtype }) => !outputDtypes.includes(dtype))
  if (unknown !== undefined)
    throw new Unsupported(`it knows no models with ${unknown.dtype}, the type of ${unknown.name}`)
  const tf = createRequire(import.meta.url)('@tensorflow/tfjs-node') as TfjsNode
  const model = await tf.node.loadSavedModel(request.exportPath, ['serve'], 'serving_default')
  const count = samples[0]?.shape[0] ?? 0
  let maxAbsError = 0
  let disagreement = 0
  const magnitudes = reference.map((array) => largestMagnitude(toNumbers(array.dtype, array.data)))
  for (let index = 0; index < count; index++) {
    const inputs = Object.fromEntries(
      samples.map((array) => {
        const dtype = inputDtypes[array.dtype] ?? 'float32'
        return [
          names.inputs[array.name] ?? array.name,
          tf.tensor(rows(array, index, index + 1), [1, ...array.shape.slice(1)], dtype)
        ]
      })
    )
    const outputs = model.predict(inputs)
    for (const [at, array] of reference.entries()) {
      const answer = outputs[names.outputs[array.name] ?? array.name]
      if (answer === undefined) throw new Error(`the export has no output ${names.outputs[array.name]}`)
      const expected = toNumbers(array.dtype, rows(array, index, index + 1))
      const error = largestError(
        expected,
        Float64Array.from(await answer.data(), Number),
        elementsOf(array.shape.slice(1))
      )
      maxAbsError = Math.max(maxAbsError, error)
      disagreement = Math.max(disagreement, error / Math.max(1, magnitudes[at] ?? 0))
    }
    for (const tensor of [...Object.values(inputs), ...Object.values(outputs)]) tensor.dispose()
    if (index % 10 === 9) report('progress', { done: index + 1, count })
  }
  // JSON has no NaN: null stands for it, and for infinity.
  report('result', { version: tf.version['tfjs-node'], maxAbsError, disagreement, samples: count })
}

/** The arrays `x:NAME` by their names; what else there is, such as labels, is none of the model's. */
async function readTensors(path: string): Promise<NamedArray[]> {
  const arrays = await readNpz(path).catch((error: unknown) => {
    // Such as strings.
    if (error instanceof NpzError && error.code === 'unsupported')
      throw new Unsupported(error.message.replace(/\.$/, ''))
    throw error
  })
  return [...arrays.values()]
    .filter(({ name }) => name.startsWith('x:'))
    .map((array) => ({ ...array, name: array.name.slice('x:'.length) }))
}

function largestMagnitude(values: Float64Array): number {
  return values.reduce((most, value) => (Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most), 0)
}

function largestError(expected: Float64Array, actual: Float64Array, elements: number): number {
  if (actual.length !== elements) return Number.POSITIVE_INFINITY
  return expected.reduce(
    (most, value, at) =>
      Object.is(value, actual[at]) ? most : Math.max(most, Math.abs(value - (actual[at] as number))),
    0
  )
}

try {
  await main(JSON.parse(process.argv[2] ?? '{}') as ReferenceRequest)
} catch (error) {
  if (!(error instanceof Unsupported)) throw error
  report('unsupported', { reason: error.message })
}
