/** Every way a conversion can fail as a whole, in one table. What one variant failed with is data in the result. */
export const conversionErrorCodes = {
  'not-a-model': 'The file is not a model, or it is damaged.',
  'wrong-format': 'The file is a model of another format.',
  'unsafe-model': 'The model holds code, which is not run.',
  'unsafe-archive': 'The archive holds links, devices, paths that leave it, or more than is allowed.',
  'unknown-recipe': 'There is no such recipe.',
  'unknown-signature': 'The SavedModel has no such signature, or several of which none was chosen.',
  'invalid-data': 'The calibration or evaluation data cannot be read.',
  'invalid-preprocessing': 'The preprocessing does not say how an image becomes an input.',
  'input-mismatch': 'The calibration or evaluation data does not fit the inputs of the model.',
  'work-dir-in-use': 'The work directory is not empty.',
  'converter-failed': 'The model could not be read or exported.',
  'converter-crashed': 'The converter process ended before it was done.',
  'converter-timeout': 'The conversion took longer, or more of the processor, than it was allowed.',
  'converter-out-of-memory': 'The conversion needed more memory or threads than it was allowed.',
  'converter-disk-limit': 'The conversion wrote more than it was allowed, or the disk is full.',
  'converter-unavailable': 'The converter process could not be started.',
  'conversion-cancelled': 'The conversion was cancelled.',
  'reference-unavailable': 'The second engine for the reference could not be started.',
  'export-disagrees': 'The exported model does not answer what the original answers.'
} as const

export type ConversionErrorCode = keyof typeof conversionErrorCodes

export class ConversionError extends Error {
  override readonly name = 'ConversionError'
  readonly code: ConversionErrorCode
  /** The last lines that the failing process itself wrote, oldest first. */
  readonly lastLines: readonly string[]

  constructor(
    code: ConversionErrorCode,
    message: string = conversionErrorCodes[code],
    detail: { lastLines?: readonly string[]; cause?: unknown } = {}
  ) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause })
    this.code = code
    this.lastLines = detail.lastLines ?? []
  }
}
