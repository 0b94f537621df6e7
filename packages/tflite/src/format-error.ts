/** Every way a file can fail to be a readable TFLite model. */
export const tfliteFormatErrorCodes = {
  'not-tflite': 'The file is not a TFLite model: the identifier TFL3 is missing.',
  truncated: 'The file ends before something that it refers to.',
  'bad-offset': 'An offset in the file points outside its table or the file.',
  'bad-table': 'A table in the file has an impossible layout.',
  'bad-value': 'A value in the file is outside what the schema allows.',
  'bad-signature': 'A signature names a tensor that its subgraph does not take or give.',
  'too-complex': 'The file refers to the same parts so often that reading it would not end in reasonable time.'
} as const

export type TfliteFormatErrorCode = keyof typeof tfliteFormatErrorCodes

export class TfliteFormatError extends Error {
  override readonly name = 'TfliteFormatError'
  readonly code: TfliteFormatErrorCode

  constructor(code: TfliteFormatErrorCode, detail?: string) {
    super(detail === undefined ? tfliteFormatErrorCodes[code] : `${tfliteFormatErrorCodes[code]} (${detail})`)
    this.code = code
  }
}
