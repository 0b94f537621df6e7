// Reads damaged copies of a model, in a thread whose memory is limited. Tests start it: the built package, since Node 20
// runs no TypeScript.
import { parentPort, workerData } from 'node:worker_threads'
import {
  estimateModel,
  readStandardMetadata,
  readTflite,
  readTfliteMetadata,
  TfliteFormatError,
  tfliteFormatErrorCodes
} from '../dist/index.js'

const { bytes, seed, count, attempt } = workerData
const extremes = [0, 1, 2, 0x7f, 0xff, 0x7fff, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff]

let state = seed
/** An integer in [0, below), mulberry32. */
function pick(below) {
  state = (state + 0x6d2b79f5) | 0
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * below)
}

/** Positions of what looks like an offset or a length, where a file has its tables: before and behind the weights. */
const headBytes = 4096
const tailBytes = 80_000
const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
const words = []
for (let at = 0; at + 4 <= bytes.length; at += 4) {
  const isTable = at < headBytes || at > bytes.length - tailBytes
  if (isTable && view.readUInt32LE(at) !== 0 && view.readUInt32LE(at) < bytes.length) words.push(at)
}

function damage(copy) {
  const file = Buffer.from(copy.buffer, copy.byteOffset, copy.byteLength)
  for (let times = 1 + pick(4); times > 0; times--) {
    const at = words[pick(words.length)]
    switch (pick(5)) {
      case 0:
        file[at + pick(4)] ^= 1 << pick(8)
        break
      case 1:
        file.writeUInt32LE(extremes[pick(extremes.length)], at)
        break
      case 2: // An offset that leads where another one does.
        file.writeUInt32LE((words[pick(words.length)] - at) >>> 0, at)
        break
      case 3: // One that leads anywhere, backwards too.
        file.writeInt32LE(pick(copy.length) - at, at)
        break
      default:
        file.copyWithin(at, words[pick(words.length)], words[pick(words.length)] + 4 * pick(16))
    }
  }
  return pick(6) === 0 ? copy.subarray(0, pick(copy.length)) : copy
}

function outcome(broken) {
  try {
    const model = readTflite(broken)
    estimateModel(model)
    const entry = readTfliteMetadata(broken).get('TFLITE_METADATA')
    if (entry !== undefined) readStandardMetadata(entry)
    return 'read'
  } catch (error) {
    if (error instanceof TfliteFormatError && error.code in tfliteFormatErrorCodes) return error.code
    throw error
  }
}

const outcomes = {}
for (let index = 0; index < count; index++) {
  const broken = damage(Uint8Array.from(bytes))
  Atomics.add(attempt, 0, 1)
  try {
    const result = outcome(broken)
    outcomes[result] = (outcomes[result] ?? 0) + 1
  } catch (error) {
    throw new Error(`damage ${index}`, { cause: error })
  }
}
parentPort.postMessage(outcomes)
