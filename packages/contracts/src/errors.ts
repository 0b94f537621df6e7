/**
 * Every error that a caller can meet, once. `status` is the HTTP status, `title` the short sentence that never changes
 * for a code; what went wrong this time goes into `detail`.
 */
export const ERRORS = {
  'invalid-request': { status: 400, title: 'The request does not have the documented form' },
  'invalid-json': { status: 400, title: 'The body is not JSON' },
  unauthenticated: { status: 401, title: 'A valid key is needed' },
  forbidden: { status: 403, title: 'This key may not do that' },
  'token-invalid': { status: 401, title: 'The join token is unknown, used up or expired' },
  'device-revoked': { status: 403, title: 'This device was revoked' },
  'device-unproven': { status: 401, title: 'The device did not prove that it holds its key' },
  'route-unknown': { status: 404, title: 'There is no such route' },
  'diagnostics-unknown': { status: 404, title: 'There are no such diagnostics' },
  'device-unknown': { status: 404, title: 'There is no such device' },
  'model-unknown': { status: 404, title: 'There is no such model' },
  'version-unknown': { status: 404, title: 'There is no such version of this model' },
  'variant-unknown': { status: 404, title: 'There is no such variant' },
  'blob-unknown': { status: 404, title: 'There is no blob with this hash' },
  'deployment-unknown': { status: 404, title: 'There is no such deployment' },
  'job-unknown': { status: 404, title: 'There is no such job' },
  'name-taken': { status: 409, title: 'This name is in use' },
  'version-exists': { status: 409, title: 'This version has another source' },
  'version-in-use': { status: 409, title: 'A deployment uses this' },
  'idempotency-mismatch': { status: 409, title: 'This Idempotency-Key was used with another request' },
  'not-deployed': { status: 409, title: 'No deployment serves this model' },
  'deadline-infeasible': { status: 409, title: 'No device is expected to finish the job by its deadline' },
  'job-ended': { status: 409, title: 'The job has ended already' },
  'device-state': { status: 409, title: 'The device is in a state that does not allow this' },
  'body-too-large': { status: 413, title: 'The body is larger than allowed' },
  'range-unsatisfiable': { status: 416, title: 'The blob has no such range' },
  'media-type-unsupported': { status: 415, title: 'This content type is not understood here' },
  'digest-mismatch': { status: 422, title: 'The bytes do not have the digest that was sent' },
  'not-a-model': { status: 422, title: 'The file is not a model' },
  'wrong-format': { status: 422, title: 'The file is a model of another format' },
  'input-mismatch': { status: 422, title: 'The inputs do not fit the model' },
  'too-many-requests': { status: 429, title: 'Too many requests' },
  'inference-failed': { status: 502, title: 'The device could not answer' },
  'not-in-time': { status: 504, title: 'No device answered in time' },
  internal: { status: 500, title: 'The server failed' },
  'disk-full': { status: 507, title: 'The server has no room left' },
  unavailable: { status: 503, title: 'The service is not ready' }
} as const satisfies Record<string, { status: number; title: string }>

export type ErrorCode = keyof typeof ERRORS

/** One bad place in a request; `pointer` is an RFC 6901 JSON pointer into the body. */
export type FieldProblem = { pointer: string; detail: string }

export type ProblemMembers = { earliestFinishMs?: number | null; retryAfterMs?: number }

/** Thrown anywhere below the routes; the control plane renders it as problem+json. */
export class SkerryError extends Error {
  readonly code: ErrorCode
  readonly fields: FieldProblem[]
  /** More members of the problem, by the names that `Problem` gives them. */
  readonly members: ProblemMembers
  constructor(
    code: ErrorCode,
    detail?: string,
    options: { fields?: FieldProblem[]; members?: ProblemMembers; cause?: unknown } = {}
  ) {
    super(detail ?? ERRORS[code].title, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'SkerryError'
    this.code = code
    this.fields = options.fields ?? []
    this.members = options.members ?? {}
  }
  get status(): number {
    return ERRORS[this.code].status
  }
}

/** What happened to a job: data, never thrown. */
export const JOB_ERROR_CODES = [
  'expired',
  'cancelled',
  'attempts-exhausted',
  'runtime-crashed',
  'runtime-timeout',
  'model-refused',
  'model-quarantined',
  'invoke-failed',
  'input-unavailable',
  'deployment-deleted',
  'device-lost',
  'conversion-failed',
  'conversion-timeout',
  'conversion-crashed',
  'not-a-model',
  'wrong-format',
  'export-disagrees',
  'agent-failed'
] as const
export type JobErrorCode = (typeof JOB_ERROR_CODES)[number]
