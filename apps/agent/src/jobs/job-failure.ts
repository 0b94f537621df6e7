import type { JobErrorCode, ResultFrame } from '@skerry/contracts'
import { ConversionError, type ConversionErrorCode } from '@skerry/converter/errors'
import { RuntimeError } from '@skerry/runtimes'
import { AgentError, wordsOf } from '../agent-error.ts'
import { RuntimeLostError } from '../runtime-host.ts'

export type ResultError = NonNullable<ResultFrame['error']>

const MESSAGE_LENGTH = 2_000
const DETAIL_LENGTH = 8_000

const CONVERSION_CODES: Record<ConversionErrorCode, { code: JobErrorCode; retryable: boolean }> = {
  'not-a-model': { code: 'not-a-model', retryable: false },
  'wrong-format': { code: 'wrong-format', retryable: false },
  'unsafe-model': { code: 'conversion-failed', retryable: false },
  'unsafe-archive': { code: 'conversion-failed', retryable: false },
  'unknown-recipe': { code: 'conversion-failed', retryable: false },
  'invalid-preprocessing': { code: 'conversion-failed', retryable: false },
  'unknown-signature': { code: 'conversion-failed', retryable: false },
  'invalid-data': { code: 'conversion-failed', retryable: false },
  'input-mismatch': { code: 'conversion-failed', retryable: false },
  'work-dir-in-use': { code: 'agent-failed', retryable: true },
  'converter-failed': { code: 'conversion-failed', retryable: false },
  'converter-crashed': { code: 'conversion-crashed', retryable: false },
  'converter-timeout': { code: 'conversion-timeout', retryable: false },
  'converter-out-of-memory': { code: 'conversion-failed', retryable: false },
  'converter-disk-limit': { code: 'conversion-failed', retryable: false },
  'converter-unavailable': { code: 'agent-failed', retryable: true },
  'conversion-cancelled': { code: 'cancelled', retryable: false },
  'reference-unavailable': { code: 'agent-failed', retryable: true },
  'export-disagrees': { code: 'export-disagrees', retryable: false }
}

/** What a job's result says about anything that was thrown while it ran. Nothing is thrown past this. */
export function resultErrorOf(error: unknown): ResultError {
  const message = wordsOf(error).slice(0, MESSAGE_LENGTH)
  if (error instanceof RuntimeLostError) {
    return { code: error.code, message, retryable: true, ...(error.culprit ? { killedRuntime: true } : {}) }
  }
  if (error instanceof RuntimeError) return { ...runtimeCode(error), message }
  if (error instanceof ConversionError) {
    const detail = error.lastLines.join('\n').slice(-DETAIL_LENGTH)
    return { ...CONVERSION_CODES[error.code], message, ...(detail === '' ? {} : { detail }) }
  }
  if (error instanceof AgentError) return { ...agentCode(error), message }
  return { code: 'agent-failed', message, retryable: true }
}

function runtimeCode({ code }: RuntimeError): { code: JobErrorCode; retryable: boolean } {
  switch (code) {
    case 'model-refused':
      return { code: 'model-refused', retryable: false }
    case 'input-invalid':
      return { code: 'invoke-failed', retryable: false }
    case 'inference-failed':
      return { code: 'invoke-failed', retryable: true }
    default:
      return { code: 'agent-failed', retryable: true }
  }
}

function agentCode({ code, retryable }: AgentError): { code: JobErrorCode; retryable: boolean } {
  switch (code) {
    case 'blob-unknown':
      return { code: 'input-unavailable', retryable: false }
    case 'tensor-invalid':
      return { code: 'invoke-failed', retryable: false }
    case 'model-quarantined':
      return { code: 'model-quarantined', retryable: true }
    case 'aborted':
      return { code: 'agent-failed', retryable: true }
    default:
      return { code: 'agent-failed', retryable }
  }
}
