import { readFile } from 'node:fs/promises'
import {
  readTflite,
  type SubgraphSpec,
  type TensorSpec,
  TfliteFormatError,
  type TfliteModel,
  tensorBytes
} from '@skerry/tflite'
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

export type ModelPlan = {
  /** Empty when the file has no signature. */
  signature: string
  subgraph: number
  inputs: TensorPlan[]
  outputs: TensorPlan[]
  /** A FULLY_CONNECTED has weights with a scale per channel, which its version does not tell. */
  perChannelFullyConnected: boolean
}

/** A plan with the specs that callers see, under the signature's names. */
export type PlannedModel = { plan: ModelPlan; inputs: TensorSpec[]; outputs: TensorSpec[] }

const defaultSignature = 'serving_default'

/**
 * Reads the file and decides how its tensors are bound. With several signatures it takes `serving_default`, else the
 * first one.
 *
 * @throws RuntimeError `model-refused` when the file cannot be read, is no model, or has tensors without a fixed size.
 */
export async function planModel(source: ModelSource): Promise<PlannedModel> {
  if (typeof source !== 'string') return planBytes(source)
  const bytes = await readFile(source).catch((cause: unknown) => {
    throw new RuntimeError('model-refused', `The model file cannot be read: ${String(cause)}`, { cause })
  })
  return planBytes(bytes)
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
  const signature = model.signatures.find((each) => each.key === defaultSignature) ?? model.signatures[0]
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
      signature: signature?.key ?? '',
      subgraph: signature?.subgraph ?? 0,
      inputs: planned.inputs.map((each) => each.plan),
      outputs: planned.outputs.map((each) => each.plan),
      perChannelFullyConnected: model.subgraphs.some(hasPerChannelFullyConnected)
    },
    inputs: planned.inputs.map((each) => each.spec),
    outputs: planned.outputs.map((each) => each.spec)
  }
}

function hasPerChannelFullyConnected({ graph }: SubgraphSpec): boolean {
  return graph.nodes.some(({ operator, inputs }) => {
    const weights = inputs[1] ?? -1
    return operator === 'FULLY_CONNECTED' && graph.tensors[weights]?.perChannel === true
  })
}

function bindByTensorName(tensors: TensorSpec[]): [string, number][] {
  const names = tensors.map((tensor) => tensor.name)
  const distinct = new Set(names).size === names.length && !names.includes('')
  return names.map((name, position) => [distinct ? name : `${name}:${position}`, position])
}

function planTensor(name: string, position: number, tensors: TensorSpec[]): { plan: TensorPlan; spec: TensorSpec } {
  const tensor = tensors[position]
  if (tensor === undefined) throw new RuntimeError('model-refused', `The signature's tensor ${name} does not exist.`)
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
