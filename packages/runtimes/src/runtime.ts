import type { TensorSpec } from '@skerry/tflite'
import type { Machine } from './litert-acceptance.ts'
import type { InputShapes, ModelSource } from './model-plan.ts'
import type { WeightCache } from './weight-cache.ts'

export const runtimeNames = ['litert', 'tfjs-tflite', 'tfjs-tflite-node'] as const

export type RuntimeName = (typeof runtimeNames)[number]

/**
 * `version` is the npm package's for TensorFlow.js's runtimes and the ai-edge-litert wheel's for litert. `accelerators`
 * is what LiteRT found to run models on: `cpu`, and `gpu` or `npu` where there is one and the library for it. Models run
 * on the CPU whatever it says.
 */
export type RuntimeInfo = { name: RuntimeName; version: string; accelerators?: readonly string[] }

/**
 * What a loaded model takes and gives. Names are the signature's names; where the file has no signature, the tensors'
 * own names. Inputs stand in signature order.
 */
export type LoadedModel = {
  /** The default signature, which `inputs` and `outputs` show. Empty when the file has none. */
  signature: string
  inputs: TensorSpec[]
  outputs: TensorSpec[]
  /** Signatures that `invoke` takes by name, the default one among them. */
  signatures?: Record<string, { inputs: TensorSpec[]; outputs: TensorSpec[] }>
  loadMs: number
}

/** Why a runtime's child process is gone. `expected` is true after `close()`. */
export type RuntimeExit = {
  expected: boolean
  exitCode: number | null
  signal: string | null
  /** The last lines that the process wrote to stderr, oldest first. */
  stderr: string[]
}

/** `timeoutMs` counts from when the process takes the call up, not from when the call is made. */
export type CallOptions = { signal?: AbortSignal; timeoutMs?: number }

/** Without `signature` it is the default one. */
export type InvokeOptions = CallOptions & { signature?: string }

/** As for an inference: a timeout or an abort ends the process. */
export type LoadOptions = CallOptions & {
  threads?: number
  /** New shapes of inputs of the default signature, where they have dynamic dimensions. */
  shapes?: InputShapes
  /** `litert` only: keeps the weights as XNNPACK packs them, for the next load. */
  weightCache?: WeightCache
}

export type InvokeResult = { outputs: Map<string, Uint8Array>; inferenceMs: number }

/** A live child process that holds one TFLite runtime and any number of models. */
export interface TfliteRuntime {
  readonly info: RuntimeInfo
  readonly pid: number
  /** A file's path, or its bytes. Rejects with `model-refused` and the runtime's own words when it cannot run the file. */
  load(modelId: string, source: ModelSource, options?: LoadOptions): Promise<LoadedModel>
  /**
   * Gives inputs of a loaded model other shapes, as `load` with `shapes`: every dynamic dimension not named is again what
   * the file says. The model stays as it was when it rejects.
   */
  resize(modelId: string, shapes: InputShapes, options?: CallOptions): Promise<LoadedModel>
  unload(modelId: string): Promise<void>
  /**
   * One inference on whole tensors, by the signature's names, raw bytes in the file's dtypes. Native code cannot be
   * interrupted: a timeout or an abort kills the process, and with it every model and call in it.
   */
  invoke(modelId: string, inputs: ReadonlyMap<string, Uint8Array>, options?: InvokeOptions): Promise<InvokeResult>
  /** Memory of the process, and the most that it was. */
  stats(): Promise<{ rssBytes: number; peakRssBytes: number }>
  /** Ends the process after the calls in it; resolves once it is gone. */
  close(): Promise<void>
  /** Called once, when the process is gone; at once when it already is. */
  onExit(listener: (reason: RuntimeExit) => void): void
}

export type StartRuntimeOptions = {
  /** Path of LiteRT's C library; required for `litert`. */
  liteRtLibrary?: string
  /**
   * Run a LiteRT library that is not among `knownLiteRtLibraries`, taking its C interface for that of the known ones; the
   * first line to `onStderr` says so.
   */
  allowUnknownLiteRt?: boolean
  /** Version of a LiteRT library that is not among the known ones. Default 'unknown'. */
  version?: string
  /** Threads of one inference, default 1. The WASM build is single-threaded and ignores it. */
  threads?: number
  /**
   * What starts the child instead of this process's own Node: another Node, or a wrapper such as an emulator or a
   * limiter, whose `args` end with the Node to run. `machine` is what the child will find itself on; default this one.
   */
  launcher?: { command: string; args?: readonly string[]; machine?: Machine }
  onStderr?: (line: string) => void
}
