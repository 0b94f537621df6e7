/** Every way a conversion can fail as a whole, in one table. What one variant failed with is data in the result. */
export const conversionErrorCodes = {
  'not-a-model': 'The file is not a model, or it is damaged.',
  'wrong-format': 'The file is a model of another format.',
  'unsafe-model': 'The model holds code, which is not run.',
  'unsafe-archive': 'The archive holds links, devices, paths that leave it, or more than is allowed.',
  'invalid-data': 'The calibration or evaluation data cannot be read.',
  'input-mismatch': 'The calibration or evaluation data does not fit the inputs of the model.',
  'work-dir-in-use': 'The work directory is not empty.',
  'converter-failed': 'The model could not be read or exported.',
  'converter-crashed': 'The converter process ended before it was done.',
  'converter-timeout': 'The conversion took longer than it was allowed.',
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
