import { describe, expect, it } from 'vitest'
import {
  estimateModel,
  type GraphNode,
  type GraphSpec,
  type GraphTensor,
  readTflite,
  TfliteFormatError,
  type TfliteModel
} from '../src/index.ts'
import { realModels, seededRandom } from './real-models.ts'

const activation = (...shape: number[]): GraphTensor => ({ dtype: 'float32', shape, constant: false, variable: false })
const weight = (...shape: number[]): GraphTensor => ({ ...activation(...shape), constant: true })
const state = (...shape: number[]): GraphTensor => ({ ...activation(...shape), variable: true })
const node = (operator: string, inputs: number[], outputs: number[], calls: number[] = []): GraphNode => ({
  operator,
  custom: false,
  inputs,
  outputs,
  calls
})

function modelOf(...graphs: GraphSpec[]): TfliteModel {
  return {
    schemaVersion: 3,
    description: '',
    inputs: [],
    outputs: [],
    subgraphs: graphs.map((graph) => ({ name: '', inputs: [], outputs: [], graph })),
    signatures: [],
    operators: [],
    bufferBytes: 0
  }
}

/** MACs of one operator that reads all tensors but the last and writes the last. */
function macsOf(operator: string, ...tensors: GraphTensor[]): number {
  const last = tensors.length - 1
  const inputs = [...Array(last).keys()]
  return estimateModel(modelOf({ tensors, inputs: [0], outputs: [last], nodes: [node(operator, inputs, [last])] })).macs
}

describe('multiply-accumulates', () => {
  it('of a convolution: each output element takes one window of its channels', () => {
    const out = activation(1, 10, 10, 8)
    expect(macsOf('CONV_2D', activation(1, 20, 20, 3), weight(8, 5, 3, 3), out)).toBe(10 * 10 * 8 * (5 * 3 * 3))
    // Two groups: each output channel sees half of the 6 input channels.
    expect(macsOf('CONV_2D', activation(1, 20, 20, 6), weight(8, 5, 3, 3), out)).toBe(10 * 10 * 8 * (5 * 3 * 3))
    expect(macsOf('DEPTHWISE_CONV_2D', activation(1, 20, 20, 8), weight(1, 3, 3, 8), out)).toBe(10 * 10 * 8 * 9)
    expect(macsOf('CONV_3D', activation(1, 4, 4, 4, 3), weight(2, 2, 2, 3, 5), activation(1, 3, 3, 3, 5))).toBe(
      27 * 5 * (8 * 3)
    )
  })

  it('of a transposed convolution: each input element meets the whole window of every output channel', () => {
    const shape = weight(4)
    expect(macsOf('TRANSPOSE_CONV', shape, weight(6, 2, 2, 5), activation(1, 7, 7, 5), activation(1, 14, 14, 6))).toBe(
      7 * 7 * 5 * (2 * 2 * 6)
    )
  })

  it('of matrix products, whichever side stands transposed', () => {
    expect(macsOf('FULLY_CONNECTED', activation(3, 40), weight(7, 40), activation(3, 7))).toBe(3 * 40 * 7)
    expect(macsOf('BATCH_MATMUL', activation(2, 3, 4), activation(2, 4, 5), activation(2, 3, 5))).toBe(2 * 3 * 4 * 5)
    expect(macsOf('BATCH_MATMUL', activation(2, 4, 3), activation(2, 4, 5), activation(2, 3, 5))).toBe(2 * 3 * 4 * 5)
  })

  it('of a sequence LSTM: each of 10 time steps meets four input and four recurrent matrices', () => {
    const matrices = [...Array(4).fill(weight(8, 4)), ...Array(4).fill(weight(8, 8)), weight(8), state(1, 8)]
    const macs = macsOf('UNIDIRECTIONAL_SEQUENCE_LSTM', activation(1, 10, 4), ...matrices, activation(1, 10, 8))
    expect(macs).toBe(10 * (4 * 8 * 4 + 4 * 8 * 8))
  })

  it('of what works element by element, and of unknown custom operators: none', () => {
    expect(macsOf('ADD', activation(5), activation(5), activation(5))).toBe(0)
    const custom = { ...node('CONV_2D', [0, 1], [2]), custom: true }
    const tensors = [activation(1, 4, 4, 1), weight(1, 1, 1, 1), activation(1, 4, 4, 1)]
    expect(estimateModel(modelOf({ tensors, inputs: [0], outputs: [2], nodes: [custom] })).macs).toBe(0)
  })
})

describe('peak memory', () => {
  const chain: GraphSpec = {
    // 400, 4000, 40 and 4 bytes; the weight is counted by its buffer.
    tensors: [activation(100), activation(1000), activation(10), activation(1), weight(50)],
    inputs: [0],
    outputs: [3],
    nodes: [node('EXP', [0, 4], [1]), node('EXP', [1], [2]), node('EXP', [2], [3])]
  }

  it('is the weights and the largest sum of tensors alive at one operator', () => {
    expect(estimateModel({ ...modelOf(chain), bufferBytes: 200 })).toEqual({ macs: 0, peakMemoryBytes: 200 + 4400 })
  })

  it('counts a tensor until its last reader: a skip connection costs', () => {
    const skipped = { ...chain, nodes: [...chain.nodes.slice(0, 2), node('ADD', [2, 0], [3])] }
    expect(estimateModel(modelOf(skipped)).peakMemoryBytes).toBe(400 + 4000 + 40)
  })

  it('counts what outlives an inference, and weights that are expanded once, all the time', () => {
    const tensors = [...chain.tensors, state(1000), activation(1000)]
    const kept = { ...chain, tensors, nodes: [node('DEQUANTIZE', [4], [6]), node('EXP', [6], [3]), ...chain.nodes] }
    expect(estimateModel(modelOf(kept)).peakMemoryBytes).toBe(4400 + 4000 + 4000 + 4)
  })

  it('counts narrow types by their width, and no text', () => {
    const tensors: GraphTensor[] = [
      { ...activation(100), dtype: 'int8' },
      { ...activation(9), dtype: 'string' }
    ]
    expect(estimateModel(modelOf({ tensors, inputs: [0], outputs: [1], nodes: [] })).peakMemoryBytes).toBe(100)
  })
})

describe('subgraphs that are called', () => {
  const inner = (size: number): GraphSpec => ({
    tensors: [activation(1, size), weight(size, size), activation(1, size)],
    inputs: [0],
    outputs: [2],
    nodes: [node('FULLY_CONNECTED', [0, 1], [2])]
  })
  const outer = (operator: string): GraphSpec => ({
    tensors: [activation(10), activation(10)],
    inputs: [0],
    outputs: [1],
    nodes: [node(operator, [0], [1], [1, 2])]
  })

  it('count one turn of a loop, the larger of two branches, and no initialization', () => {
    const estimate = (operator: string) => estimateModel(modelOf(outer(operator), inner(3), inner(5)))
    // 80 bytes of the outer graph's tensors, and two of 5 floats of the larger subgraph.
    expect(estimate('WHILE')).toEqual({ macs: 9 + 25, peakMemoryBytes: 80 + 40 })
    expect(estimate('IF')).toEqual({ macs: 25, peakMemoryBytes: 80 + 40 })
    expect(estimate('CALL_ONCE').macs).toBe(0)
  })

  it('end, where a damaged file runs itself', () => {
    const loop = { ...outer('WHILE'), nodes: [node('WHILE', [0], [1], [0, 0])] }
    expect(estimateModel(modelOf(loop))).toEqual({ macs: 0, peakMemoryBytes: 80 })
  })
})

describe('models that shipped', () => {
  // By an independent count over LiteRT's own list of operators and tensors.
  const known = {
    'face_detection_short_range.tflite': 30_760_960,
    'selfie_segmentation.tflite': 59_215_744
  }

  it.each(Object.entries(known))('%s takes the work that its operators add up to', (name, macs) => {
    const bytes = realModels().get(name) ?? new Uint8Array()
    const model = readTflite(bytes)
    const estimate = estimateModel(model)
    expect(estimate.macs).toBe(macs)
    // float16 weights are expanded to float32, and at least the input lives beside them.
    expect(estimate.peakMemoryBytes).toBeGreaterThan(3 * model.bufferBytes)
    expect(estimate.peakMemoryBytes).toBeLessThan(40 * model.bufferBytes)
  })
})

describe('damaged files', () => {
  it('give bounded numbers whatever the bytes say', () => {
    const random = seededRandom(3)
    const bytes = realModels().get('face_detection_short_range.tflite') ?? new Uint8Array()
    let read = 0
    for (let i = 0; i < 2000; i++) {
      const broken = Uint8Array.from(bytes)
      const tables = Math.min(60_000, bytes.length)
      for (let flips = 0; flips < 8; flips++) {
        broken[bytes.length - 1 - Math.floor(random() * tables)] = Math.floor(random() * 256)
      }
      const estimate = estimateOf(broken)
      if (estimate === undefined) continue
      read++
      expect(Number.isSafeInteger(estimate.macs) && Number.isSafeInteger(estimate.peakMemoryBytes)).toBe(true)
    }
    expect(read).toBeGreaterThan(100)
  })

  it('do not exhaust the stack by subgraphs that nest without end', () => {
    const graphs = Array.from({ length: 20_000 }, (_, at): GraphSpec => {
      return { tensors: [], inputs: [], outputs: [], nodes: [node('WHILE', [], [], [at + 1, at + 1])] }
    })
    expect(estimateModel(modelOf(...graphs))).toEqual({ macs: 0, peakMemoryBytes: 0 })
    const huge: GraphSpec = { tensors: [activation(...Array(32).fill(2 ** 31))], inputs: [0], outputs: [0], nodes: [] }
    expect(estimateModel(modelOf(huge)).peakMemoryBytes).toBe(Number.MAX_SAFE_INTEGER)
  })
})

function estimateOf(bytes: Uint8Array) {
  try {
    return estimateModel(readTflite(bytes))
  } catch (error) {
    if (error instanceof TfliteFormatError) return undefined
    throw error
  }
}
