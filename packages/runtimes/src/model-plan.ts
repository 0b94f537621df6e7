import { readFile } from 'node:fs/promises'
import {
  readTflite,
  type SignatureSpec,
  type SubgraphSpec,
  type TensorSpec,
  TfliteFormatError,
  type TfliteModel,
  tensorBytes,
  withInputShapes
} from '@skerry/tflite'
import { releaseBuffer } from './release-buffer.ts'
import { RuntimeError } from './runtime-error.ts'

/** One tensor at the model's border as the child needs it. */
export type TensorPlan = {
  /** The signature's name, by which callers bind. */
  name: string
  /** The tensor's own name in the file. */
  tensorName: string
  /** Position among the subgraph's inputs or outputs. */
  position: number
  dtype: TensorSpec['dtype']
  shape: number[]
  bytes: number
}

/** A file's path, or its bytes. */
export type ModelSource = string | Uint8Array

/** How one signature's tensors are bound. */
export type SignaturePlan = {
  /** Empty when the file has no signature. */
  key: string
  subgraph: number
  inputs: TensorPlan[]
  outputs: TensorPlan[]
}

export type ModelPlan = {
  /** The first one is the default. */
  signatures: [SignaturePlan, ...SignaturePlan[]]
  /** Inputs have other shapes than the file was made with: outputs' shapes are what the runtime says. */
  resized: boolean
  /** A FULLY_CONNECTED has weights with a scale per channel, which its version does not tell. */
  perChannelFullyConnected: boolean
}

/** The specs that callers see, under a signature's names. */
export type SignatureBorders = { inputs: TensorSpec[]; outputs: TensorSpec[] }

/** `borders` stand in the order of the plan's signatures; `refused` says why by the keys of those left out. */
export type PlannedModel = { plan: ModelPlan; borders: SignatureBorders[]; refused: Map<string, string> }

/** New shapes by the names of the default signature's inputs. */
export type InputShapes = ReadonlyMap<string, readonly number[]>

const defaultSignature = 'serving_default'

/**
 * Reads the file and decides how its tensors are bound. The default signature is `serving_default`, else the first one.
 * With `shapes`, `source` of the answer is a file whose inputs have them.
 *
 * @throws RuntimeError `model-refused` when the file cannot be read, is no model, has tensors without a fixed size, or
 * a dimension that is to change is a fixed one.
 */
export async function planModel(
  source: ModelSource,
  shapes: InputShapes = new Map()
): Promise<PlannedModel & { source: ModelSource }> {
  const bytes = typeof source === 'string' ? await readModel(source) : source
  if (shapes.size === 0) {
    const planned = planBytes(bytes)
    if (typeof source === 'string') releaseBuffer(bytes)
    return { ...planned, source }
  }
  const resized = resize(bytes, shapes)
  const planned = planBytes(resized)
  return { ...planned, plan: { ...planned.plan, resized: true }, source: resized }
}

function readModel(path: string): Promise<Uint8Array> {
  return readFile(path).catch((cause: unknown) => {
    throw new RuntimeError('model-refused', `The model file cannot be read: ${String(cause)}`, { cause })
  })
}

function resize(bytes: Uint8Array, shapes: InputShapes): Uint8Array {
  const { plan, borders } = planBytes(bytes)
  const [{ subgraph, inputs }] = plan.signatures
  const changes = [...shapes].map(([name, shape]) => {
    const position = inputs.find((input) => input.name === name)?.position
    const declared = borders[0]?.inputs.find((input) => input.name === name)?.shapeSignature ?? []
    if (position === undefined) throw new RuntimeError('input-invalid', `The model has no input ${name}.`)
    const fits = shape.length === declared.length && shape.every((size, at) => [-1, size].includes(declared[at] ?? 0))
    if (!fits || shape.some((size) => !Number.isSafeInteger(size) || size < 1)) {
      const words = `[${shape.join(', ')}] for input ${name}, which is [${declared.join(', ')}]`
      throw new RuntimeError('input-invalid', `The model does not take ${words}; only dimensions of -1 can change.`)
    }
    return { position, shape }
  })
  return withInputShapes(bytes, subgraph, changes)
}

/** As planModel, from bytes. */
export function planBytes(bytes: Uint8Array): PlannedModel {
  try {
    return planBindings(readTflite(bytes))
  } catch (cause) {
    if (cause instanceof TfliteFormatError) throw new RuntimeError('model-refused', cause.message, { cause })
    throw cause
  }
}

function planBindings(model: TfliteModel): PlannedModel {
  // Neither runtime carries them, and tfjs-tflite aborts its whole process when it looks for them.
  const flex = model.operators.filter(({ name, custom }) => custom && name.startsWith('Flex'))
  if (flex.length > 0) {
    const names = flex.map((operator) => operator.name).join(', ')
    throw new RuntimeError('model-refused', `The model needs Select TensorFlow operators: ${names}.`)
  }
  const main = model.signatures.find((each) => each.key === defaultSignature) ?? model.signatures[0]
  const planned = planSignature(model, main)
  const refused = new Map<string, string>()
  const others = model.signatures.flatMap((signature) => {
    if (signature === main) return []
    try {
      return [planSignature(model, signature)]
    } catch (error) {
      if (!(error instanceof RuntimeError)) throw error
      refused.set(signature.key, error.message)
      return []
    }
  })
  return {
    plan: {
      signatures: [planned.plan, ...others.map((each) => each.plan)],
      resized: false,
      perChannelFullyConnected: model.subgraphs.some(hasPerChannelFullyConnected)
    },
    borders: [planned, ...others].map((each) => each.borders),
    refused
  }
}

function planSignature(
  model: TfliteModel,
  signature: SignatureSpec | undefined
): { plan: SignaturePlan; borders: SignatureBorders } {
  const subgraph = model.subgraphs[signature?.subgraph ?? 0]
  if (subgraph === undefined) throw new RuntimeError('model-refused', 'The model has no subgraph to run.')
  const inputs = signature === undefined ? bindByTensorName(subgraph.inputs) : Object.entries(signature.inputs)
  const outputs = signature === undefined ? bindByTensorName(subgraph.outputs) : Object.entries(signature.outputs)
  if (signature !== undefined && new Set(Object.values(signature.inputs)).size !== subgraph.inputs.length) {
    throw new RuntimeError('model-refused', `Signature ${signature.key} does not name every input of the model.`)
  }
  const planned = {
    inputs: inputs.map(([name, position]) => planTensor(name, position, subgraph.inputs)),
    outputs: outputs.map(([name, position]) => planTensor(name, position, subgraph.outputs))
  }
  return {
    plan: {
      key: signature?.key ?? '',
      subgraph: signature?.subgraph ?? 0,
      inputs: planned.inputs.map((each) => each.plan),
      outputs: planned.outputs.map((each) => each.plan)
    },
    borders: {
      inputs: planned.inputs.map((each) => each.spec),
      outputs: planned.outputs.map((each) => each.spec)
    }
  }
}

function hasPerChannelFullyConnected({ graph }: SubgraphSpec): boolean {
  return graph.nodes.some(({ operator, inputs }) => {
    const weights = inputs[1] ?? -1
    return operator === 'FULLY_CONNECTED' && graph.tensors[weights]?.perChannel === true
  })
}

/** The tensor in another shape; undefined when that has no fixed size. */
export function reshaped<T extends { dtype: TensorSpec['dtype'] }>(tensor: T, shape: number[]) {
  const bytes = shape.every((size) => size > 0) ? tensorBytes(tensor.dtype, shape) : undefined
  return bytes === undefined ? undefined : { ...tensor, shape, bytes }
}

function bindByTensorName(tensors: TensorSpec[]): [string, number][] {
  const names = tensors.map((tensor) => tensor.name)
  const distinct = new Set(names).size === names.length && !names.includes('')
  return names.map((name, position) => [distinct ? name : `${name}:${position}`, position])
}

function planTensor(name: string, position: number, tensors: TensorSpec[]): { plan: TensorPlan; spec: TensorSpec } {
  const tensor = tensors[position]
  if (tensor === undefined) throw new RuntimeError('model-refused', `The signature's tensor ${name} does not exist.`)
  if (tensor.dtype === 'string') {
    throw new RuntimeError('model-refused', `Tensor ${name} is string, which none of the runtimes here carries.`)
  }
  const bytes = tensorBytes(tensor.dtype, tensor.shape)
  if (bytes === undefined || bytes === 0) {
    const size = bytes === 0 ? 'no elements' : 'no fixed size'
    throw new RuntimeError(
      'model-refused',
      `Tensor ${name} (${tensor.dtype} [${tensor.shape.join(', ')}]) has ${size}.`
    )
  }
  return {
    plan: { name, tensorName: tensor.name, position, dtype: tensor.dtype, shape: tensor.shape, bytes },
    spec: { ...tensor, name }
  }
}
