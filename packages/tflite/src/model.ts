/** A tensor's element type as the file names it (schema enum TensorType, lower-cased; INT2, INT4 and UINT4 are packed). */
export type TfliteDtype =
  | 'float32'
  | 'float16'
  | 'bfloat16'
  | 'float64'
  | 'int2'
  | 'int4'
  | 'uint4'
  | 'int8'
  | 'uint8'
  | 'int16'
  | 'uint16'
  | 'int32'
  | 'uint32'
  | 'int64'
  | 'uint64'
  | 'bool'
  | 'string'
  | 'complex64'
  | 'complex128'
  | 'resource'
  | 'variant'

/**
 * Affine quantization: real = scale * (stored - zeroPoint). One scale for the whole tensor, or one per index of
 * dimension `axis` (per-channel).
 */
export type Quantization = { scales: number[]; zeroPoints: number[]; axis: number }

export type TensorSpec = {
  name: string
  dtype: TfliteDtype
  /** Static shape; a dynamic dimension stands here as the size that the file was made with, usually 1. */
  shape: number[]
  /** The shape with -1 for each dynamic dimension; equal to `shape` where the file says nothing. */
  shapeSignature: number[]
  /** Absent when the tensor has no scale. */
  quantization?: Quantization
}

export type SignatureSpec = {
  key: string
  subgraph: number
  /** Signature name to position in the subgraph's list of inputs, which is the order a runtime counts in. */
  inputs: Record<string, number>
  /** Signature name to position in the subgraph's list of outputs. */
  outputs: Record<string, number>
}

export type OperatorUse = {
  /** The builtin's name such as FULLY_CONNECTED, or the custom code. */
  name: string
  version: number
  custom: boolean
  /** How many operators of all subgraphs use it; 0 when the file only declares it. */
  count: number
}

/** What a memory and work estimate needs to know of a tensor. */
export type GraphTensor = {
  dtype: TfliteDtype
  /** A dynamic dimension counts as 1. */
  shape: number[]
  /** The file holds its value. */
  constant: boolean
  /** Keeps its value from one inference to the next. */
  variable: boolean
  /** Set when it is quantized with more than one scale. */
  perChannel?: true
}

export type GraphNode = {
  /** The builtin's name, or the custom code. */
  operator: string
  custom: boolean
  /** Numbers of tensors; -1 where an optional input is left out. */
  inputs: number[]
  outputs: number[]
  /** Numbers of the subgraphs that it runs, such as condition and body of WHILE. */
  calls: number[]
}

export type GraphSpec = {
  tensors: GraphTensor[]
  inputs: number[]
  outputs: number[]
  /** In the order in which a runtime runs them. */
  nodes: GraphNode[]
}

export type SubgraphSpec = { name: string; inputs: TensorSpec[]; outputs: TensorSpec[]; graph: GraphSpec }

export type TfliteModel = {
  schemaVersion: number
  description: string
  /** Inputs of the first subgraph, in its order. */
  inputs: TensorSpec[]
  outputs: TensorSpec[]
  /** All subgraphs; the first is what `inputs` and `outputs` show. */
  subgraphs: SubgraphSpec[]
  signatures: SignatureSpec[]
  operators: OperatorUse[]
  /** Sum of all constant buffers (weights), including those stored behind the FlatBuffer. */
  bufferBytes: number
}
