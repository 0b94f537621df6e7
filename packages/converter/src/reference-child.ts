/*
 * A process of its own: TensorFlow takes 600 MB of memory, and tfjs-node's version of tfjs-core is another than the
 * runtimes'. Runs the exported SavedModel on the samples and reports how far it is from the reference outputs.
 */
import { createRequire } from 'node:module'
import { type ArrayDtype, elementsOf, type NamedArray, rows, toNumbers } from './array.ts'
import { readNpz } from './npz.ts'
import type { NameMap } from './types.ts'

export type ReferenceRequest = { exportPath: string; samplesPath: string; referencePath: string; names: NameMap }

type TfTensor = { data(): Promise<ArrayLike<number>>; dispose(): void }
type TfModel = { predict(inputs: Record<string, TfTensor>): Record<string, TfTensor> }
// What is used of tfjs-node; its own types are generated against a package that is not installed here.
type TfjsNode = {
  version: { 'tfjs-node': string }
  tensor(data: unknown, shape: number[], dtype: 'float32' | 'int32' | 'bool'): TfTensor
  node: { loadSavedModel(path: string, tags: string[], signature: string): Promise<TfModel> }
}

const report = (event: string, fields: Record<string, unknown>) =>
  process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`)

const tensorDtypes: Partial<Record<ArrayDtype, 'float32' | 'int32' | 'bool'>> = {
  float32: 'float32',
  int32: 'int32',
  uint8: 'int32',
  int8: 'int32',
  int16: 'int32',
  bool: 'bool'
}

async function main(request: ReferenceRequest): Promise<void> {
  const tf = createRequire(import.meta.url)('@tensorflow/tfjs-node') as TfjsNode
  const { names } = request
  const samples = withPrefix(await readNpz(request.samplesPath), 'x:')
  const reference = withPrefix(await readNpz(request.referencePath), 'x:')
  const unknown = samples.find(({ dtype }) => tensorDtypes[dtype] === undefined)
  if (unknown !== undefined)
    throw new Error(`tfjs-node has no tensors of ${unknown.dtype}, which ${unknown.name} takes`)
  const model = await tf.node.loadSavedModel(request.exportPath, ['serve'], 'serving_default')
  const count = samples[0]?.shape[0] ?? 0
  let maxAbsError = 0
  let disagreement = 0
  const magnitudes = reference.map((array) => largestMagnitude(toNumbers(array.dtype, array.data)))
  for (let index = 0; index < count; index++) {
    const inputs = Object.fromEntries(
      samples.map((array) => {
        const dtype = tensorDtypes[array.dtype] ?? 'float32'
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
      const error = largestError(expected, Float64Array.from(await answer.data()), elementsOf(array.shape.slice(1)))
      maxAbsError = Math.max(maxAbsError, error)
      disagreement = Math.max(disagreement, error / Math.max(1, magnitudes[at] ?? 0))
    }
    for (const tensor of [...Object.values(inputs), ...Object.values(outputs)]) tensor.dispose()
    if (index % 10 === 9) report('progress', { done: index + 1, count })
  }
  // JSON has no NaN: null stands for it, and for infinity.
  report('result', { version: tf.version['tfjs-node'], maxAbsError, disagreement, samples: count })
}

function withPrefix(arrays: ReadonlyMap<string, NamedArray>, prefix: string): NamedArray[] {
  return [...arrays.values()]
    .filter(({ name }) => name.startsWith(prefix))
    .map((array) => ({ ...array, name: array.name.slice(prefix.length) }))
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

await main(JSON.parse(process.argv[2] ?? '{}') as ReferenceRequest)
