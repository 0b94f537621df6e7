import { ConversionError } from './conversion-error.ts'
import type { Preprocessing } from './types.ts'

const choices = {
  kernel: ['nearest', 'bilinear', 'bicubic', 'lanczos3', 'area'],
  fit: ['stretch', 'crop', 'pad'],
  colors: ['rgb', 'bgr', 'gray'],
  layout: ['nhwc', 'nchw']
} as const satisfies { [Field in keyof Preprocessing]?: readonly Preprocessing[Field][] }

const fields = ['input', 'kernel', 'antialias', 'fit', 'colors', 'scale', 'offset', 'layout'] as const
type Field = (typeof fields)[number]

const stretched = { kernel: 'bilinear', antialias: false, fit: 'stretch', layout: 'nhwc' } as const

/**
 * What the callers of common models do. The first three are the modes `tf`, `caffe` and `torch` of
 * keras.applications.imagenet_utils.preprocess_input; kernel and fit are those of image_dataset_from_directory.
 */
export const PREPROCESSING_PRESETS = {
  /** -1 to 1. */
  'keras-mobilenet': { ...stretched, colors: 'rgb', scale: 1 / 127.5, offset: -1 },
  /** BGR, ImageNet's mean subtracted. */
  'keras-caffe': { ...stretched, colors: 'bgr', scale: 1, offset: [-103.939, -116.779, -123.68] },
  /** ImageNet's mean subtracted and its deviation divided by, of 0 to 1. */
  'keras-torch': {
    ...stretched,
    colors: 'rgb',
    scale: [1 / 255 / 0.229, 1 / 255 / 0.224, 1 / 255 / 0.225],
    offset: [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225]
  },
  'zero-to-one': { ...stretched, colors: 'rgb', scale: 1 / 255, offset: 0 },
  'raw-255': { ...stretched, colors: 'rgb', scale: 1, offset: 0 }
} as const satisfies Record<string, Preprocessing>

export const PREPROCESSING_HELP =
  `${Object.keys(PREPROCESSING_PRESETS).join(', ')}; one of them and changes, such as ` +
  'keras-mobilenet,kernel=area,fit=crop,scale=1/255 (one number per channel: scale=1:2:3); or a JSON object of ' +
  `${describeFields()}`

function describeFields(): string {
  const named = Object.entries(choices).map(([field, values]) => `${field} (${values.join(', ')})`)
  return [...named, 'scale and offset (value = pixel * scale + offset)', 'antialias', 'input'].join(', ')
}

/**
 * A plain object as a Preprocessing, its fields in a fixed order and with `antialias`.
 *
 * @throws ConversionError `invalid-preprocessing`, naming the field.
 */
export function checkPreprocessing(value: unknown): Preprocessing {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw refusal('it is not an object')
  const given = value as Partial<Record<Field, unknown>>
  const unknown = Object.keys(given).find((name) => !fields.some((field) => field === name))
  if (unknown !== undefined) throw refusal(`there is no field ${unknown}; there are ${fields.join(', ')}`)
  const { input, antialias = false } = given
  if (input !== undefined && (typeof input !== 'string' || input === '')) throw refusal('input is not a name')
  if (typeof antialias !== 'boolean') throw refusal('antialias is neither true nor false')
  const colors = choose('colors', given.colors)
  const channels = colors === 'gray' ? 1 : 3
  const scale = numbers('scale', given.scale, channels, colors)
  if ([scale].flat().includes(0)) throw refusal('scale is 0, which leaves nothing of the image')
  return {
    ...(input === undefined ? {} : { input }),
    kernel: choose('kernel', given.kernel),
    antialias,
    fit: choose('fit', given.fit),
    colors,
    scale,
    offset: numbers('offset', given.offset, channels, colors),
    layout: choose('layout', given.layout)
  }
}

/**
 * A preset's name, `preset,field=value,...`, or a JSON object (PREPROCESSING_HELP).
 *
 * @throws ConversionError `invalid-preprocessing`
 */
export function parsePreprocessing(text: string): Preprocessing {
  if (text.trimStart().startsWith('{')) return checkPreprocessing(parseJson(text))
  const [name = '', ...changes] = text.split(',').map((part) => part.trim())
  const preset = Object.entries(PREPROCESSING_PRESETS).find(([each]) => each === name)?.[1]
  if (preset === undefined) throw refusal(`${JSON.stringify(name)} is no preset. Known: ${PREPROCESSING_HELP}`)
  return checkPreprocessing({ ...preset, ...Object.fromEntries(changes.map(parseChange)) })
}

function parseChange(change: string): [string, unknown] {
  const [, field, value] = /^([^=]+)=(.+)$/.exec(change) ?? []
  if (field === undefined || value === undefined) throw refusal(`${JSON.stringify(change)} is not field=value`)
  if (field === 'antialias') return [field, value === 'true' ? true : value === 'false' ? false : value]
  if (field !== 'scale' && field !== 'offset') return [field, value]
  const parsed = value.split(':').map((number) => parseNumber(field, number))
  return [field, parsed.length === 1 ? parsed[0] : parsed]
}

/** A decimal number, or a fraction of two. */
function parseNumber(field: string, text: string): number {
  const parts = text.split('/').map((part) => (part.trim() === '' ? Number.NaN : Number(part)))
  const [over = Number.NaN, under = 1] = parts
  if (parts.length > 2 || !Number.isFinite(over / under)) {
    throw refusal(`${field} is ${JSON.stringify(text)}, which is no number`)
  }
  return over / under
}

function choose<Name extends keyof typeof choices>(field: Name, value: unknown): (typeof choices)[Name][number] {
  const found = choices[field].find((each) => each === value)
  if (found !== undefined) return found
  throw refusal(`${field} is ${value === undefined ? 'missing' : JSON.stringify(value)}: ${choices[field].join(', ')}`)
}

function numbers(field: string, value: unknown, channels: number, colors: string): number | readonly number[] {
  if (typeof value === 'number' && Number.isFinite(value)) return value
  const list: unknown[] = Array.isArray(value) ? value : []
  const finite = list.filter((each): each is number => typeof each === 'number' && Number.isFinite(each))
  if (list.length === channels && finite.length === channels) return finite
  const found = value === undefined ? 'is missing' : `is ${JSON.stringify(value)}`
  throw refusal(`${field} ${found}: one number, or one for each of the ${channels} channels of ${colors}`)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw refusal(`it is not JSON (${(cause as Error).message})`, cause)
  }
}

const refusal = (why: string, cause?: unknown) =>
  new ConversionError('invalid-preprocessing', `The preprocessing cannot be used: ${why}.`, { cause })
