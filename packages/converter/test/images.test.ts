import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { NamedArray } from '../src/array.ts'
import { type GoldenImage, readGoldenImages, samplesWithImages } from '../src/golden-images.ts'
import { pickRows, writeGoldenInputs } from '../src/golden-samples.ts'
import { decodeGoldenInputs, encodeGoldenInputs, pickGoldenSamples } from '../src/goldens.ts'
import { checkPreprocessing, PREPROCESSING_PRESETS, parsePreprocessing } from '../src/preprocessing.ts'
import { encodeTensorBundle, TensorBundleError } from '../src/tensor-bundle.ts'
import type { Preprocessing } from '../src/types.ts'
import { runPython } from './real-parts.ts'

type Numbers = Record<string, number>
type Outcome = { code: string; message: string }
type Measured = {
  kernels: Record<string, Numbers>
  pillow: Numbers
  keras_modes: Numbers
  fits: Numbers
  decoding: Numbers
  whole: Record<string, number | number[]>
  labels: Record<string, number[] | Outcome | null>
  hostile: Record<string, number[] | Outcome>
  damage: { decoded: number; refused: number }
  kept_images: Record<string, unknown> & { folder: string }
  strings: { shape: number[]; first: string; dtype: string }
}

// A thousandth of the range of pixels.
const thousandth = 0.255

let scratch: string
let measured: Measured
beforeAll(async () => {
  scratch = await mkdtemp(path.join(tmpdir(), 'skerry-converter-images-'))
  const script = path.join(path.dirname(fileURLToPath(import.meta.url)), 'check-images.py')
  const made = path.join(scratch, 'made')
  await mkdir(made)
  measured = JSON.parse(await runPython(script, made, JSON.stringify(PREPROCESSING_PRESETS))) as Measured
}, 60_000)
afterAll(() => rm(scratch, { recursive: true }))

const worst = (numbers: Numbers) => Math.max(...Object.values(numbers))

describe('resizing', () => {
  it('is what tf.image.resize answers, for every kernel, with and without antialias, up and down', () => {
    expect(Object.keys(measured.kernels)).toHaveLength(10)
    for (const [kernel, differences] of Object.entries(measured.kernels)) {
      expect(Object.keys(differences).length, kernel).toBeGreaterThan(8)
      // Far within what was asked for; TensorFlow computes in float32.
      expect(worst(differences), kernel).toBeLessThan(thousandth / 10)
    }
    expect(worst(measured.kernels.nearest as Numbers)).toBe(0)
  })

  it('is what Pillow answers where it antialiases', () => {
    expect(Object.keys(measured.pillow)).toEqual(['bilinear', 'bicubic', 'lanczos3'])
    expect(worst(measured.pillow)).toBeLessThan(1e-3)
  })

  it("crops like Keras' smart_resize and pads like tf.image.resize_with_pad, with black", () => {
    expect(worst(measured.fits)).toBeLessThan(thousandth / 10)
  })
})

describe('from a file to an input', () => {
  it("decodes every format and mode to what TensorFlow's decoders give, upright and without alpha", () => {
    expect(Object.keys(measured.decoding).length).toBeGreaterThan(12)
    for (const [kind, difference] of Object.entries(measured.decoding)) expect(difference, kind).toBe(0)
  })

  it("the presets are Keras' modes", () => {
    expect(Object.keys(measured.keras_modes).sort()).toEqual(Object.keys(PREPROCESSING_PRESETS).sort())
    expect(worst(measured.keras_modes)).toBeLessThan(2e-5)
  })

  it('gives what decode, resize and preprocess_input give in TensorFlow, in each layout and type', () => {
    const { whole } = measured
    expect(whole['like TensorFlow']).toBeLessThan(1e-4)
    expect(whole.nchw).toBe(whole['like TensorFlow'])
    expect(whole.half).toBeLessThan(1e-3)
    // 5 * 0.5 = 2.5 rounds to even, as does 7 + 0.5; 200 * 2 - 100 = 300 is clipped.
    expect(whole.uint8).toEqual([2, 8, 255])
    expect(whole.int8).toEqual([-123, -121, 72])
    expect(whole.bgr).toEqual([200, 7, 5])
    expect((whole.gray as number[])[0]).toBeCloseTo(0.299 * 5 + 0.587 * 7 + 0.114 * 200, 5)
    expect(whole['gray of rank 2']).toEqual([2, 2])
    expect(whole['colours of gray']).toEqual([7, 7, 7])
  })
})

describe('labels of images', () => {
  const invalid = (message: string) => ({ code: 'invalid-data', message: expect.stringContaining(message) })

  it('are their folders, in order of name or as the labels of the model have them', () => {
    const { labels } = measured
    expect(labels.folders).toEqual([0, 1, 1])
    expect(labels['folders in a folder']).toEqual([0, 1])
    expect(labels['folders and classes']).toEqual([2, 1])
    expect(labels['unknown folder']).toEqual(invalid("'cow' is none of the model's 2 labels"))
    expect(labels['one folder, a class']).toEqual([1, 1])
  })

  it('are absent where no folder or only one tells nothing', () => {
    expect(measured.labels['one folder']).toBeNull()
    expect(measured.labels['no folder']).toBeNull()
  })

  it('are not guessed from folders of digits that may mean either', () => {
    expect(measured.labels['digits in order']).toEqual([0, 1])
    expect(measured.labels['digits with a gap']).toEqual(invalid('folders named 3, 7'))
  })

  it('come from labels.json or labels.csv, by number or name', () => {
    const { labels } = measured
    expect(labels.json).toEqual([1, 0])
    expect(labels['json, whole paths']).toEqual([4, 2])
    expect(labels['json and classes']).toEqual([2, 0])
    expect(labels.csv).toEqual([1, 0])
    expect(labels['csv without header']).toEqual([1, 0])
  })

  it('name what is wrong with such a file', () => {
    const { labels } = measured
    expect(labels['json without one']).toEqual(invalid("no label for 'x/b.png'"))
    expect(labels['json beyond the classes']).toEqual(invalid('from 1 to 2'))
    expect(labels['json of both kinds']).toEqual(invalid('neither all whole numbers nor all names'))
    expect(labels['broken csv']).toEqual(invalid('two fields'))
    expect(labels['deep json']).toEqual(invalid('cannot be read'))
    expect(labels.twice).toEqual(invalid('twice'))
  })
})

describe('image sets that nobody vouches for', () => {
  const cases: [string, string, string][] = [
    ['pixel bomb', 'invalid-data', "'bomb.png' has too many pixels"],
    ['long bomb', 'invalid-data', "'bomb.png' has 100000 x 1 pixels"],
    ['truncated png', 'invalid-data', "'short.png' cannot be decoded"],
    ['truncated jpeg', 'invalid-data', "'short.jpg' cannot be decoded"],
    ['text', 'invalid-data', "'text.png' cannot be decoded: it is none of"],
    ['empty', 'invalid-data', "'empty.png' cannot be decoded"],
    ['tiff', 'invalid-data', "'tiff.png' cannot be decoded: it is none of"],
    ['eps', 'invalid-data', "'code.jpg' cannot be decoded: it is none of"],
    ['escape', 'unsafe-archive', "'../a.png' leaves"],
    ['absolute', 'unsafe-archive', "'/a.png' leaves"],
    ['link', 'unsafe-archive', "'link.png' is neither"],
    ['linked file', 'unsafe-archive', "'b.png' is neither"],
    ['twice', 'unsafe-archive', "'a.png' is there twice"],
    ['other files', 'invalid-data', "'notes.txt'"],
    ['cut archive', 'invalid-data', 'not a readable'],
    ['damaged entry', 'invalid-data', "'a.png' cannot be read"],
    ['no images', 'invalid-data', 'holds no image'],
    ['too many files', 'unsafe-archive', 'entry number 2; 1 are allowed'],
    ['too large a file', 'unsafe-archive', "'a.png' has more than 1000 bytes"],
    ['too much', 'unsafe-archive', "'b.png' makes it larger"],
    ['too much memory', 'invalid-data', 'send at most 1 images'],
    ['no preprocessing', 'invalid-data', 'a preprocessing has to say'],
    ['open size', 'input-mismatch', 'images of any size'],
    ['two inputs', 'input-mismatch', 'images fill one input'],
    ['other input', 'input-mismatch', 'input picture'],
    ['gray model', 'input-mismatch', '3 rgb channels'],
    ['other layout', 'input-mismatch', '[3, 8, 8]'],
    ['text model', 'input-mismatch', 'string']
  ]
  it.each(cases)('%s: %s', (name, code, words) => {
    expect(measured.hostile[name]).toEqual({ code, message: expect.stringContaining(words) })
  })

  it('each such case is asserted, beside the one that is good', () => {
    expect(Object.keys(measured.hostile).sort()).toEqual(['good', ...cases.map(([name]) => name)].sort())
    expect(measured.hostile.good).toEqual([2, 8, 8, 3])
  })

  it('a damaged image is decoded or refused by name, whatever its decoder stumbles over', () => {
    expect(measured.damage.decoded).toBeGreaterThan(50)
    expect(measured.damage.refused).toBeGreaterThan(50)
  })

  it('generated words are for models that take strings', () => {
    expect(measured.strings).toEqual({ shape: [16, 2], first: '', dtype: 'S' })
  })
})

describe('a preprocessing', () => {
  const torch = PREPROCESSING_PRESETS['keras-torch']
  const refusedFor = (run: () => unknown, words: string) => {
    const message = expect.stringContaining(words)
    expect(run).toThrow(expect.objectContaining({ name: 'ConversionError', code: 'invalid-preprocessing', message }))
  }

  it('is a preset, a changed preset or JSON', () => {
    for (const [name, preset] of Object.entries(PREPROCESSING_PRESETS)) {
      expect(parsePreprocessing(name)).toEqual(preset)
      expect(parsePreprocessing(JSON.stringify(preset))).toEqual(preset)
    }
    expect(parsePreprocessing('keras-mobilenet, kernel=area, fit=crop, antialias=true, input=image')).toEqual({
      ...PREPROCESSING_PRESETS['keras-mobilenet'],
      kernel: 'area',
      fit: 'crop',
      antialias: true,
      input: 'image'
    })
    expect(parsePreprocessing('raw-255,scale=1/255,offset=-0.5:0:1e-1')).toMatchObject({
      scale: 1 / 255,
      offset: [-0.5, 0, 0.1]
    })
  })

  it('names the field that is wrong', () => {
    const { kernel: _, ...without } = torch
    refusedFor(() => checkPreprocessing(without), 'kernel is missing: nearest, bilinear, bicubic, lanczos3, area')
    refusedFor(() => checkPreprocessing({ ...torch, fit: 'zoom' }), 'fit is "zoom": stretch, crop, pad')
    refusedFor(() => checkPreprocessing({ ...torch, colors: 'gray' }), 'each of the 1 channels of gray')
    refusedFor(() => checkPreprocessing({ ...torch, scale: [1, 2] }), 'scale is [1,2]')
    refusedFor(() => checkPreprocessing({ ...torch, scale: [1, 0, 1] }), 'scale is 0')
    refusedFor(() => checkPreprocessing({ ...torch, offset: Number.NaN }), 'offset is')
    refusedFor(() => checkPreprocessing({ ...torch, antialias: 1 }), 'antialias')
    refusedFor(() => checkPreprocessing({ ...torch, input: '' }), 'input')
    refusedFor(() => checkPreprocessing({ ...torch, kernal: 'area' }), 'no field kernal')
    refusedFor(() => checkPreprocessing(null), 'not an object')
    refusedFor(() => checkPreprocessing(['nearest']), 'not an object')
    refusedFor(() => parsePreprocessing('keras-resnet'), '"keras-resnet" is no preset. Known: keras-mobilenet')
    refusedFor(() => parsePreprocessing('raw-255,area'), '"area" is not field=value')
    refusedFor(() => parsePreprocessing('raw-255,scale=1/0'), 'scale is "1/0"')
    refusedFor(() => parsePreprocessing('raw-255,scale=one'), 'scale is "one"')
    refusedFor(() => parsePreprocessing('raw-255,antialias=yes'), 'antialias')
    refusedFor(() => parsePreprocessing('{"kernel": '), 'not JSON')
  })

  it('any value is a Preprocessing or a refusal', () => {
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), fc.record({ ...fieldsOf(torch) })), (value) => {
        const found = outcomeOf(() => checkPreprocessing(value))
        if (found instanceof Error) expect(found.name).toBe('ConversionError')
        else expect(checkPreprocessing(found)).toEqual(found)
      })
    )
  })

  const fieldsOf = (preset: Preprocessing) =>
    Object.fromEntries(
      Object.entries(preset).map(([field, value]) => [field, fc.oneof(fc.constant(value), fc.jsonValue())])
    )
})

function outcomeOf<Value>(run: () => Value): Value | Error {
  try {
    return run()
  } catch (error) {
    if (error instanceof Error) return error
    throw error
  }
}

describe('golden inputs of images', () => {
  const count = 5
  const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Uint8Array.from(array))
  const images: fc.Arbitrary<GoldenImage[]> = fc
    .subarray([...Array(count).keys()])
    .chain((indices) => fc.tuple(...indices.map((index) => bytes.map((content) => ({ index, bytes: content })))))
  const preprocessing = fc.constantFrom<Preprocessing>(...Object.values(PREPROCESSING_PRESETS))
  // An input may be called as an image of the bundle is.
  const tensors: NamedArray[] = ['picture', 'image/0'].map((name) => ({
    name,
    dtype: 'float32',
    shape: [count, 2],
    data: Float32Array.from({ length: 2 * count }, (_, at) => at)
  }))

  it('come back as they were, with any images', () => {
    fc.assert(
      fc.property(images, fc.option(preprocessing, { nil: undefined }), (some, how) => {
        const inputs = {
          count,
          tensors,
          ...(some.length === 0 ? {} : { images: some }),
          ...(how === undefined ? {} : { preprocessing: how })
        }
        expect(decodeGoldenInputs(encodeGoldenInputs(inputs))).toEqual(inputs)
      })
    )
  })

  it('of a bundle from before there were images are read as ever', () => {
    expect(decodeGoldenInputs(encodeTensorBundle(tensors, { golden: 'inputs' }))).toEqual({ count, tensors })
  })

  it('any damage is a TensorBundleError or a bundle', () => {
    const some = [0, 3].map((index) => ({ index, bytes: Uint8Array.of(1, 2, 3) }))
    const whole = encodeGoldenInputs({ count, tensors, images: some, preprocessing: PREPROCESSING_PRESETS['raw-255'] })
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, value) => {
        const copy = Buffer.from(whole)
        copy[at] = value
        const found = outcomeOf(() => decodeGoldenInputs(copy))
        if (found instanceof Error) expect(found).toBeInstanceOf(TensorBundleError)
      }),
      { numRuns: 2000 }
    )
    const wrong: Record<string, unknown>[] = [
      { images: [0] },
      { images: 'all' },
      { images: Array(9).fill(0) },
      { preprocessing: { kernel: 'none' } }
    ]
    for (const meta of wrong) {
      const bundle = encodeTensorBundle(tensors, { golden: 'inputs', ...meta })
      expect(() => decodeGoldenInputs(bundle), JSON.stringify(meta)).toThrow(TensorBundleError)
    }
  })

  it('carry the files that the converter kept, byte for byte', async () => {
    expect(measured.kept_images).toMatchObject({ few: [0, 1, 2, 3, 4], 'same bytes': true, 'same pixels': true })
    const { folder } = measured.kept_images
    expect(await samplesWithImages(folder)).toEqual([0, 1, 2, 3, 4])
    const file = path.join(scratch, 'golden-inputs.bin')
    const how = PREPROCESSING_PRESETS['raw-255']
    await writeGoldenInputs(file, tensors, [1, 4], { folder, preprocessing: how })
    const golden = decodeGoldenInputs(await readFile(file))
    expect(golden.tensors).toEqual(tensors.map((array) => pickRows(array, [1, 4])))
    expect(golden.preprocessing).toEqual(how)
    const files = await Promise.all([1, 4].map((sample) => readFile(path.join(folder, String(sample)))))
    expect(golden.images).toEqual(files.map((content, index) => ({ index, bytes: new Uint8Array(content) })))
    await writeGoldenInputs(file, tensors, [1, 4])
    expect(decodeGoldenInputs(await readFile(file))).not.toHaveProperty('images')
  })

  it('are kept evenly from a large set, and the smallest where all are large', () => {
    expect(measured.kept_images).toMatchObject({ many: 256, spread: [true, true, true] })
    expect(measured.kept_images.large).toEqual([12, 13, 14, 15, 16, 17, 18, 19])
  })

  it('leave large images out beyond four', async () => {
    const folder = path.join(scratch, 'large')
    await mkdir(folder)
    const sizes = [90_000, 70_000, 10, 80_000, 100_000, 95_000]
    for (const [sample, size] of sizes.entries()) await writeFile(path.join(folder, String(sample)), Buffer.alloc(size))
    const chosen = async (golden: number[]) => (await readGoldenImages(folder, golden)).map(({ index }) => index)
    expect(await chosen([0, 1, 2, 3, 4, 5])).toEqual([0, 1, 2, 3])
    expect(await chosen([4, 2])).toEqual([0, 1])
    expect(await chosen([7])).toEqual([])
    for (let sample = 10; sample < 16; sample++) await writeFile(path.join(folder, String(sample)), 'small')
    expect(await chosen([0, 10, 11, 12, 13, 14, 15])).toEqual([1, 2, 3, 4, 5, 6])
  })

  it('are picked among the samples whose images are at hand', () => {
    const data = Float32Array.from({ length: 20 }, (_, at) => at ** 2)
    const outputs: NamedArray[] = [{ name: 'out', dtype: 'float32', shape: [20, 1], data }]
    const picked = pickGoldenSamples(outputs, 3, [2, 3, 4, 5, 11])
    expect(picked).toHaveLength(3)
    expect(picked).toEqual(expect.arrayContaining([2, 11]))
    expect(pickGoldenSamples(outputs, 8, [6, 7])).toEqual([6, 7])
  })
})
