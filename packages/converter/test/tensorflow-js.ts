import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'
import type { NamedArray } from '../src/array.ts'

// TensorFlow.js itself, which came with tfjs-node; and models that npm packages ship, test dependencies of the model zoo.
const require = createRequire(import.meta.url)
const tfjsRequire = createRequire(require.resolve('@tensorflow/tfjs-node/package.json'))
const zoo = path.resolve(import.meta.dirname, '../../model-zoo/node_modules')

type Tensor = { data(): Promise<Float32Array>; shape: number[] }
type Artifacts = { modelTopology: object; weightSpecs: object[]; weightData: ArrayBuffer }
type Model = {
  predict(inputs: Tensor | Tensor[]): Tensor | Tensor[]
  save(handler: { save(artifacts: Artifacts): Promise<object> }): Promise<unknown>
  getWeights(): Tensor[]
  setWeights(weights: Tensor[]): void
}
type Layer = { apply(inputs: unknown): unknown }
type TensorFlowJs = {
  setBackend(name: string): Promise<boolean>
  tensor(values: Float32Array, shape: number[]): Tensor
  input(config: object): unknown
  model(config: object): Model & Layer
  layers: Record<string, (config: object) => Layer>
  loadLayersModel(handler: { load(): Promise<object> }): Promise<Model>
  loadGraphModel(handler: { load(): Promise<object> }): Promise<Model>
}

type ModelJson = {
  modelTopology: object
  format?: string
  signature?: { outputs: Record<string, { name: string }> }
  userDefinedMetadata?: { signature?: { outputs: Record<string, { name: string }> } }
  weightsManifest: { paths: string[]; weights: object[] }[]
}

export async function tensorFlowJs(): Promise<TensorFlowJs> {
  const tf = tfjsRequire('@tensorflow/tfjs') as TensorFlowJs
  await tf.setBackend('cpu')
  return tf
}

/** Writes the model of npm @vladmandic/human as it ships: a graph model. */
export async function humanModel(name: string, folder: string): Promise<void> {
  const from = path.join(zoo, '@vladmandic/human/models')
  await mkdir(folder, { recursive: true })
  const text = await readFile(path.join(from, `${name}.json`), 'utf8')
  await writeFile(path.join(folder, 'model.json'), text)
  for (const shard of (JSON.parse(text) as ModelJson).weightsManifest.flatMap(({ paths }) => paths)) {
    await writeFile(path.join(folder, shard), await readFile(path.join(from, shard)))
  }
}

/** Writes the model of npm nsfwjs, which holds it as JavaScript: a layers model with weights of 8 bits. */
export async function nsfwModel(name: string, folder: string): Promise<void> {
  const from = path.join(zoo, 'nsfwjs/dist/models', name)
  await mkdir(folder, { recursive: true })
  const model = require(path.join(from, 'model.min.js')) as ModelJson
  await writeFile(path.join(folder, 'model.json'), JSON.stringify(model))
  for (const shard of model.weightsManifest.flatMap(({ paths }) => paths)) {
    const content = require(path.join(from, `${shard}.min.js`)) as string
    await writeFile(path.join(folder, shard), Buffer.from(content, 'base64'))
  }
}

/** What TensorFlow.js's own loader and CPU backend answer, by the output's name; a layers model has no names for them. */
export async function answersOf(folder: string, inputs: readonly NamedArray[]): Promise<Map<string, Float32Array>> {
  const tf = await tensorFlowJs()
  const json = JSON.parse(await readFile(path.join(folder, 'model.json'), 'utf8')) as ModelJson
  const shards = json.weightsManifest.flatMap(({ paths }) => paths)
  const content = Buffer.concat(await Promise.all(shards.map((name) => readFile(path.join(folder, name)))))
  const handler = {
    load: async () => ({
      ...json,
      weightSpecs: json.weightsManifest.flatMap(({ weights }) => weights),
      weightData: new Uint8Array(content).buffer
    })
  }
  const isGraph = 'node' in json.modelTopology
  const model = isGraph ? await tf.loadGraphModel(handler) : await tf.loadLayersModel(handler)
  const tensors = inputs.map(({ data, shape }) => tf.tensor(Float32Array.from(data as Float32Array), shape))
  const [first] = tensors
  const answers = [model.predict(tensors.length === 1 && first !== undefined ? first : tensors)].flat()
  const signature = json.signature ?? json.userDefinedMetadata?.signature
  const names = Object.keys(signature?.outputs ?? {})
  const named = answers.map(async (answer, index) => [names[index] ?? `${index}`, await answer.data()] as const)
  return new Map(await Promise.all(named))
}

/** Makes a model in TensorFlow.js, with layers whose weights it names unlike Keras, and saves it as it does. */
export async function madeLayersModel(folder: string): Promise<void> {
  const tf = await tensorFlowJs()
  const add = (kind: string, config: object, inputs: unknown) => {
    const make = tf.layers[kind]
    if (make === undefined) throw new Error(`no layer ${kind}`)
    return make(config).apply(inputs)
  }
  const pictures = tf.input({ shape: [8, 8, 3], name: 'pictures' })
  const steps = tf.input({ shape: [5, 3], name: 'steps' })
  const inner = tf.input({ shape: [6, 6, 4] })
  const separable = add('separableConv2d', { filters: 4, kernelSize: 3, activation: 'relu' }, inner)
  const nested = tf.model({ inputs: inner, outputs: add('batchNormalization', {}, separable), name: 'nested' })
  let seen = add('conv2d', { filters: 4, kernelSize: 3, activation: 'elu', kernelInitializer: 'heNormal' }, pictures)
  seen = add('depthwiseConv2d', { kernelSize: 3, padding: 'same' }, nested.apply(add('prelu', {}, seen)))
  const heard = add(
    'bidirectional',
    { layer: tf.layers.gru?.({ units: 3, returnSequences: true }), mergeMode: 'concat' },
    steps
  )
  const joined = add('concatenate', {}, [add('flatten', {}, seen), add('lstm', { units: 4 }, heard)])
  const model = tf.model({
    inputs: [pictures, steps],
    outputs: add('dense', { units: 3, activation: 'softmax' }, joined)
  })
  // No two weights alike, and none at the value that it starts from.
  let state = 1
  const next = () => {
    state = (state * 48271) % 2147483647
    return 0.1 + (0.8 * state) / 2147483647
  }
  model.setWeights(
    model.getWeights().map(({ shape }) => {
      const count = shape.reduce((product, size) => product * size, 1)
      return tf.tensor(Float32Array.from({ length: count }, next), shape)
    })
  )
  await mkdir(folder, { recursive: true })
  await model.save({
    save: async ({ modelTopology, weightSpecs, weightData }) => {
      const manifest = [{ paths: ['group1-shard1of2.bin', 'group1-shard2of2.bin'], weights: weightSpecs }]
      await writeFile(
        path.join(folder, 'model.json'),
        JSON.stringify({ format: 'layers-model', modelTopology, weightsManifest: manifest })
      )
      // Cut where no weight ends.
      await writeFile(path.join(folder, 'group1-shard1of2.bin'), Buffer.from(weightData, 0, 1001))
      await writeFile(path.join(folder, 'group1-shard2of2.bin'), Buffer.from(weightData, 1001))
      return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } }
    }
  })
}
