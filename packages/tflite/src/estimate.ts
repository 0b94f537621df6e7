import { tensorBytes } from './dtype.ts'
import { multiplyAccumulates } from './macs.ts'
import type { GraphNode, GraphSpec, TfliteModel } from './model.ts'

export type ModelEstimate = {
  /** Multiply-accumulate operations of one inference (macs.ts says what is counted). */
  macs: number
  /** Bytes: all weights, and the largest sum of other tensors alive at once. */
  peakMemoryBytes: number
}

/**
 * Work and memory of one inference of the first signature, from the file alone. Dynamic dimensions count as 1.
 *
 * Memory follows the order in which the operators stand in the file: a tensor lives from the operator that writes it to
 * the last that reads it, the subgraph's inputs from the start, its outputs to the end. What a runtime adds (packed
 * copies of weights, scratch buffers, its own code) or saves (writing over an input) is left out. Loops count as one
 * turn, since the file does not say how many they take; of two branches the larger one counts.
 */
export function estimateModel(model: TfliteModel): ModelEstimate {
  const graphs = model.subgraphs.map(({ graph }) => graph)
  const first = model.signatures[0]?.subgraph ?? 0
  const { macs, activationBytes } = estimateGraph(first, graphs, new Map(), 0)
  return { macs: bounded(macs), peakMemoryBytes: bounded(model.bufferBytes + activationBytes) }
}

/** A damaged file has shapes whose product is no number any more. */
const bounded = (value: number): number => Math.min(value, Number.MAX_SAFE_INTEGER)

/** Honest files nest a loop in a loop; a hostile one nests until the stack ends. */
const maxDepth = 64

type GraphEstimate = { macs: number; activationBytes: number }

const nothing: GraphEstimate = { macs: 0, activationBytes: 0 }

function estimateGraph(
  index: number,
  graphs: readonly GraphSpec[],
  done: Map<number, GraphEstimate>,
  depth: number
): GraphEstimate {
  const known = done.get(index)
  const graph = graphs[index]
  if (known !== undefined || graph === undefined || depth > maxDepth) return known ?? nothing
  // Only a damaged file has a subgraph that runs itself.
  done.set(index, nothing)
  const called = graph.nodes.map((node) => estimateCalls(node, graphs, done, depth + 1))
  const macs = graph.nodes.reduce(
    (sum, node, at) => sum + multiplyAccumulates(node, graph.tensors) + macsOf(called[at]),
    0
  )
  const aliveBytes = bytesAlive(graph)
  const activationBytes = aliveBytes.reduce(
    (most, bytes, at) => Math.max(most, bytes + (called[at]?.activationBytes ?? 0)),
    0
  )
  const estimate = { macs, activationBytes }
  done.set(index, estimate)
  return estimate
}

const macsOf = (estimate: GraphEstimate | undefined): number => estimate?.macs ?? 0

function estimateCalls(
  node: GraphNode,
  graphs: readonly GraphSpec[],
  done: Map<number, GraphEstimate>,
  depth: number
): GraphEstimate {
  const called = node.calls.map((index) => estimateGraph(index, graphs, done, depth))
  const activationBytes = called.reduce((most, each) => Math.max(most, each.activationBytes), 0)
  // Initialization is no part of an inference.
  if (node.operator === 'CALL_ONCE') return { macs: 0, activationBytes }
  if (node.operator === 'IF') return { macs: Math.max(0, ...called.map(macsOf)), activationBytes }
  return { macs: called.reduce((sum, each) => sum + each.macs, 0), activationBytes }
}

/** Bytes of tensors that are no weights, at each operator in turn; one number for a graph without operators. */
function bytesAlive(graph: GraphSpec): number[] {
  const { tensors, nodes, inputs, outputs } = graph
  const last = Math.max(nodes.length - 1, 0)
  const born = new Map<number, number>()
  const dies = new Map<number, number>()
  const live = (tensor: number, from: number, to: number) => {
    born.set(tensor, Math.min(born.get(tensor) ?? from, from))
    dies.set(tensor, Math.max(dies.get(tensor) ?? to, to))
  }
  for (const tensor of inputs) live(tensor, 0, 0)
  for (const [at, node] of nodes.entries()) {
    for (const tensor of [...node.inputs, ...node.outputs]) live(tensor, at, at)
  }
  for (const tensor of outputs) live(tensor, last, last)
  const kept = keptForever(graph)
  for (const [tensor, { variable }] of tensors.entries()) if (variable || kept.has(tensor)) live(tensor, 0, last)

  const changes = new Float64Array(last + 2)
  for (const [tensor, from] of born) {
    const spec = tensors[tensor]
    if (spec === undefined || spec.constant) continue
    const bytes = tensorBytes(spec.dtype, spec.shape) ?? 0
    const after = (dies.get(tensor) ?? from) + 1
    changes[from] = (changes[from] ?? 0) + bytes
    changes[after] = (changes[after] ?? 0) - bytes
  }
  let alive = 0
  return Array.from(changes.subarray(0, last + 1), (change) => {
    alive += change
    return alive
  })
}

/** Weights that are stored in a smaller form: TFLite's interpreter expands them once and keeps the result. */
function keptForever({ tensors, nodes }: GraphSpec): Set<number> {
  const kept = new Set<number>()
  for (const { operator, inputs, outputs } of nodes) {
    if (operator !== 'DEQUANTIZE' && operator !== 'DENSIFY') continue
    const fixed = inputs.every((input) => tensors[input]?.constant === true || kept.has(input))
    if (fixed) for (const output of outputs) kept.add(output)
  }
  return kept
}
