import { OpenInferenceError } from '@skerry/contracts'
import { RuntimeError } from '@skerry/runtimes'
import { AgentError, wordsOf } from '../agent-error.ts'
import { RuntimeLostError } from '../runtime-host.ts'

/** A refusal with its HTTP status; its message is what the caller reads in `{"error": "..."}`. */
export class LocalError extends Error {
  override readonly name = 'LocalError'
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

export const invalid = (message: string): LocalError => new LocalError(400, message)

/** What anything thrown while a request was answered says to the caller: theirs 400, for now 503, ours 500. */
export function localErrorOf(error: unknown): LocalError {
  if (error instanceof LocalError) return error
  const message = wordsOf(error)
  if (error instanceof OpenInferenceError) return invalid(message)
  if (error instanceof RuntimeLostError) return new LocalError(503, message)
  if (error instanceof RuntimeError) return new LocalError(error.code === 'input-invalid' ? 400 : 500, message)
  if (!(error instanceof AgentError)) return new LocalError(500, message)
  switch (error.code) {
    case 'tensor-invalid':
      return new LocalError(400, message)
    case 'not-placed':
    case 'model-quarantined':
    case 'device-limited':
    case 'aborted':
      return new LocalError(503, message)
    default:
      return new LocalError(500, message)
  }
}
