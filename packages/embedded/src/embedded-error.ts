export type EmbeddedErrorCode =
  /** A program that is needed is not on this machine; the message says how to get it. */
  | 'tool-missing'
  /** Another live process uses this data directory. */
  | 'data-dir-in-use'
  /** The data directory belongs to another user. */
  | 'data-dir-owner'
  /** The service ended, or did not answer in time; the message ends with its own last lines. */
  | 'service-failed'
  | 'migration-changed'
  | 'migration-failed'
  | 'migration-locked'

export class EmbeddedError extends Error {
  readonly code: EmbeddedErrorCode
  constructor(code: EmbeddedErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'EmbeddedError'
    this.code = code
  }
}

export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
