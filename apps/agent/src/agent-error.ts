/** Every way the agent itself can fail, in one table. */
export const agentErrorCodes = {
  'option-invalid': 'An option of the agent is not valid.',
  'token-needed': 'This device has not joined yet: give a join token.',
  'enrol-refused': 'The control plane refused to enrol this device.',
  'control-plane-unreachable': 'The control plane could not be reached.',
  'data-dir-in-use': 'Another agent uses this data directory.',
  'identity-invalid': 'The identity file of this device cannot be used.',
  'key-refused': 'The control plane did not take the new key of this device.',
  'no-runtime': 'No TFLite runtime can be started on this device.',
  'device-revoked': 'The control plane revoked this device.',
  'blob-unknown': 'The control plane has no blob with this hash.',
  'blob-refused': 'The control plane refused a transfer.',
  'transfer-failed': 'A transfer was cut or the control plane failed.',
  'disk-full': 'The disk of this device has no room left.',
  'digest-mismatch': 'The bytes do not have the hash that they were asked for by.',
  'manifest-invalid': 'The manifest is not signed by the control plane or names another artifact.',
  'artifact-too-old': 'The artifact was made before the oldest that this device takes.',
  'golden-mismatch': 'The device does not compute what the model computed where it was converted.',
  'model-quarantined': 'The model crashed its runtime twice in a row on this device.',
  'not-placed': 'The artifact is not placed on this device.',
  'device-limited': 'The device has too little memory, is too hot or has too little battery to take work.',
  'tensor-invalid': 'A tensor is missing, unknown or of the wrong size.',
  'result-invalid': 'The result cannot be sent.',
  aborted: 'The work was aborted.'
} as const

export type AgentErrorCode = keyof typeof agentErrorCodes

export class AgentError extends Error {
  override readonly name = 'AgentError'
  readonly code: AgentErrorCode
  /** Whether the same step may work later without anybody's help. */
  readonly retryable: boolean

  constructor(
    code: AgentErrorCode,
    message: string = agentErrorCodes[code],
    detail: { retryable?: boolean; cause?: unknown } = {}
  ) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause })
    this.code = code
    this.retryable = detail.retryable ?? false
  }
}

/** The words of anything thrown, for a log line or a reason. */
export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
