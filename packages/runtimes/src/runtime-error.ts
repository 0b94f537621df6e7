/** Every way a runtime can fail, in one table. */
export const runtimeErrorCodes = {
  'runtime-unavailable': 'The runtime could not be started on this machine.',
  'runtime-crashed': 'The process that held the runtime ended while it was needed.',
  'runtime-closed': 'The runtime was closed.',
  'runtime-timeout': 'An inference took longer than it was allowed and its process was ended.',
  'runtime-aborted': 'An inference was aborted and its process was ended.',
  'model-refused': 'The runtime cannot run this model file.',
  'model-not-loaded': 'No model of this id is loaded.',
  'model-already-loaded': 'A model of this id is loaded already.',
  'input-invalid': 'An input is missing, unknown, or of the wrong size or type.',
  'inference-failed': 'The runtime reported an error while it ran the model.'
} as const

export type RuntimeErrorCode = keyof typeof runtimeErrorCodes

export class RuntimeError extends Error {
  override readonly name = 'RuntimeError'
  readonly code: RuntimeErrorCode
  /** Set when the child process is gone. */
  readonly exitCode: number | null
  readonly signal: string | null
  /** Last stderr lines of the child, oldest first. */
  readonly stderr: readonly string[]

  constructor(
    code: RuntimeErrorCode,
    message: string = runtimeErrorCodes[code],
    detail: { exitCode?: number | null; signal?: string | null; stderr?: readonly string[]; cause?: unknown } = {}
  ) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause })
    this.code = code
    this.exitCode = detail.exitCode ?? null
    this.signal = detail.signal ?? null
    this.stderr = detail.stderr ?? []
  }
}
