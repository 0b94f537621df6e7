import type { TfliteDtype } from '@skerry/tflite'
import { readAccelerators } from './litert-accelerators.ts'
import { describeStatus, type LiteRtLibrary, openLiteRt, type Pointer } from './litert-library.ts'
import { releasePages } from './mapped-pages.ts'
import { type ModelPlan, type ModelSource, reshaped, type SignaturePlan, type TensorPlan } from './model-plan.ts'
import { type Backend, BackendError, type BackendModel, type BoundSignature, bindSignatures } from './serve-backend.ts'
import { placeTensors, sharedFd } from './shared-tensors.ts'
import { type MemoryBlock, TensorMemory } from './tensor-memory.ts'
import { withWeightCache } from './weight-cache.ts'

const cpuAccelerator = 1
const layoutBytes = 68

// LiteRtElementType has TfLiteType's numbers, which are not those of the file's enum.
const elementTypes: Readonly<Partial<Record<TfliteDtype, number>>> = {
  float32: 1,
  int32: 2,
  uint8: 3,
  int64: 4,
  bool: 6,
  int16: 7,
  int8: 9,
  float16: 10,
  float64: 11,
  uint64: 13,
  uint32: 16,
  uint16: 17
}

/** LiteRT on the CPU with XNNPACK. */
export function createLiteRtBackend(libraryPath: string): Backend {
  const library = open(libraryPath)
  const environment = out<Pointer>((target) => library.createEnvironment(0, null, target), 'runtime-unavailable')
  const memory = new TensorMemory(sharedFd)
  return {
    version: '',
    accelerators: readAccelerators(library, environment),
    dtypes: ['float32', 'int8', 'uint8', 'int16', 'int32', 'int64', 'bool'],
    load: async (plan, source, threads, weightCache) =>
      withWeightCache(
        weightCache,
        (weightFile) => new LiteRtModel({ library, environment, memory }, plan, source, { threads, weightFile })
      ),
    // An inference makes nothing that waits for the end of a turn; what unloaded models leave can wait as long as this.
    inferencesPerTurn: 100
  }
}

function open(libraryPath: string): LiteRtLibrary {
  try {
    return openLiteRt(libraryPath)
  } catch (cause) {
    // The loader's own message leaves the path out.
    throw new Error(`${libraryPath}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
}

type CompileOptions = { threads: number; weightFile: string | undefined }

type Runtime = { library: LiteRtLibrary; environment: Pointer; memory: TensorMemory }

type BoundTensor = { buffer: Pointer; bytes: Uint8Array }

class LiteRtModel implements BackendModel {
  readonly signatures: (BoundSignature | string)[]
  readonly #library: LiteRtLibrary
  readonly #release: (() => void)[] = []

  constructor(runtime: Runtime, plan: ModelPlan, source: ModelSource, options: CompileOptions) {
    const { library, environment } = runtime
    this.#library = library
    try {
      const model = out<Pointer>((target) =>
        typeof source === 'string'
          ? library.createModelFromFile(environment, source, target)
          : library.createModelFromBuffer(environment, source, source.length, target)
      )
      this.#release.push(() => destroyModel(library, model, source))
      const compiled = this.#compile(environment, model, options)
      if (typeof source === 'string') releasePages(source)
      this.signatures = bindSignatures(
        plan,
        (signature) =>
          new LiteRtSignature({ ...runtime, model, compiled, release: this.#release }, signature, plan.resized)
      )
    } catch (error) {
      this.unload()
      throw error
    }
  }

  unload(): void {
    for (const release of this.#release.splice(0).reverse()) release()
  }

  #compile(environment: Pointer, model: Pointer, { threads, weightFile }: CompileOptions): Pointer {
    const library = this.#library
    const options = out<Pointer>((target) => library.createOptions(target))
    try {
      check(library.setOptionsHardwareAccelerators(options, cpuAccelerator))
      // A JSON string is a TOML one.
      const cached = weightFile === undefined ? '' : `weight_cache_file_path = ${JSON.stringify(weightFile)}\n`
      const payload = library.strdup(`num_threads = ${threads}\n${cached}`)
      const opaque = out<Pointer>((target) => library.createOpaqueOptions('xnnpack', payload, library.free, target))
      check(library.addOpaqueOptions(options, opaque))
      const compiled = out<Pointer>((target) => library.createCompiledModel(environment, model, options, target))
      this.#release.push(() => library.destroyCompiledModel(compiled))
      return compiled
    } finally {
      library.destroyOptions(options)
    }
  }
}

/** What the signatures of a model share; `release` takes what must go before the model. */
type CompiledModel = Runtime & { model: Pointer; compiled: Pointer; release: (() => void)[] }

class LiteRtSignature implements BoundSignature {
  readonly outputs: readonly TensorPlan[]
  readonly shared: boolean
  readonly #library: LiteRtLibrary
  readonly #release: (() => void)[]
  readonly #compiled: Pointer
  readonly #index: number
  /** Memory of the tensors, in the plan's order. */
  readonly #inputs: Uint8Array[]
  readonly #results: Uint8Array[]
  /** Buffers in the order that the runtime counts in. */
  readonly #inputList: BigUint64Array
  readonly #outputList: BigUint64Array

  constructor({ library, memory, model, compiled, release }: CompiledModel, plan: SignaturePlan, resized: boolean) {
    this.#library = library
    this.#release = release
    this.#compiled = compiled
    const { index, inputs, outputs } = this.#find(model, plan)
    this.#index = index
    // The file says these shapes already; outputs' shapes follow only where the runtime was asked.
    for (const tensor of resized ? plan.inputs : []) {
      const shape = Int32Array.from(tensor.shape)
      check(library.resizeInput(compiled, index, inputs.indexOf(tensor.name), shape, shape.length))
    }
    // Operators are prepared when tensors are allocated. Here, so that a model that cannot run is refused at once.
    const layouts = Buffer.alloc(layoutBytes * outputs.length)
    check(library.getOutputLayouts(compiled, index, outputs.length, layouts, true))
    this.outputs = resized
      ? plan.outputs.map((tensor) => inLayout(tensor, layouts.subarray(layoutBytes * outputs.indexOf(tensor.name))))
      : plan.outputs
    const places = placeTensors(
      plan.inputs.map((tensor) => tensor.bytes),
      this.outputs.map((tensor) => tensor.bytes)
    )
    const block = memory.block(places.bytes)
    release.push(() => block.release())
    this.shared = block.shared
    const given = plan.inputs.map((tensor, at) => {
      const position = inputs.indexOf(tensor.name)
      const required = out<Pointer>((target) => library.getInputRequirements(compiled, index, position, target))
      return this.#createBuffer(tensor, required, block, places.inputs[at] ?? 0)
    })
    const taken = this.outputs.map((tensor, at) => {
      const position = outputs.indexOf(tensor.name)
      const required = out<Pointer>((target) => library.getOutputRequirements(compiled, index, position, target))
      return this.#createBuffer(tensor, required, block, places.outputs[at] ?? 0)
    })
    this.#inputs = given.map(({ bytes }) => bytes)
    this.#results = taken.map(({ bytes }) => bytes)
    this.#inputList = inRuntimeOrder(plan.inputs, given, inputs)
    this.#outputList = inRuntimeOrder(plan.outputs, taken, outputs)
    if (resized) this.#checkSizes()
  }

  inputs(): Uint8Array[] {
    return this.#inputs
  }

  run(): { inferenceMs: number; outputs: Uint8Array[] } {
    const started = performance.now()
    const status = this.#library.runCompiledModel(
      this.#compiled,
      this.#index,
      this.#inputList.length,
      this.#inputList,
      this.#outputList.length,
      this.#outputList
    )
    const inferenceMs = performance.now() - started
    check(status, 'inference-failed')
    return { inferenceMs, outputs: this.#results }
  }

  /** An output whose shape follows from a computed one gets its size only in a run, and LiteRT then has no room for it. */
  #checkSizes(): void {
    try {
      for (const input of this.inputs()) input.fill(0)
      this.run()
    } catch (error) {
      if (!(error instanceof BackendError)) throw error
      const message = `LiteRT cannot run the model in these shapes: the size of an output is computed. ${error.message}`
      throw new BackendError('model-refused', message)
    }
  }

  #find(model: Pointer, plan: SignaturePlan): { index: number; inputs: string[]; outputs: string[] } {
    const library = this.#library
    const count = outNumber((target) => library.getNumModelSignatures(model, target))
    for (let index = 0; index < count; index++) {
      const signature = out<Pointer>((target) => library.getModelSignature(model, index, target))
      const key = out<string>((target) => library.getSignatureKey(signature, target))
      // A file without a signature gets one by the runtime, over the first subgraph.
      if (plan.key !== '' && key !== plan.key) continue
      const inputCount = outNumber((target) => library.getNumSignatureInputs(signature, target))
      const outputCount = outNumber((target) => library.getNumSignatureOutputs(signature, target))
      const names = {
        inputs: listNames(inputCount, (at, target) => library.getSignatureInputName(signature, at, target)),
        outputs: listNames(outputCount, (at, target) => library.getSignatureOutputName(signature, at, target))
      }
      return {
        index,
        inputs: matchNames(names.inputs, plan.inputs, plan.key === ''),
        outputs: matchNames(names.outputs, plan.outputs, plan.key === '')
      }
    }
    throw new BackendError('model-refused', `LiteRT finds no signature ${plan.key} in the model.`)
  }

  /** A buffer over memory of ours, on which the runtime works as it is: both begin at a multiple of 64 bytes. */
  #createBuffer(tensor: TensorPlan, requirements: Pointer, block: MemoryBlock, offset: number): BoundTensor {
    const library = this.#library
    const required = outNumber((target) => library.getRequiredBytes(requirements, target))
    if (required < tensor.bytes) {
      const expected = `${tensor.bytes} bytes of ${tensor.name}`
      throw new BackendError('model-refused', `LiteRT asks for ${required} bytes where the file says ${expected}.`)
    }
    const address = block.address + BigInt(offset)
    const type = rankedTensorType(tensor)
    const buffer = out<Pointer>((target) => library.createTensorBuffer(type, address, tensor.bytes, null, target))
    this.#release.push(() => library.destroyTensorBuffer(buffer))
    return { buffer, bytes: block.bytes.subarray(offset, offset + tensor.bytes) }
  }
}

/** The tensor in the shape that a LiteRtLayout says: rank in the low 7 bits, then 8 dimensions. */
function inLayout(tensor: TensorPlan, layout: Buffer): TensorPlan {
  const rank = layout.readUInt32LE(0) & 0x7f
  const shape = Array.from({ length: Math.min(rank, 8) }, (_, axis) => layout.readInt32LE(4 + 4 * axis))
  const found = reshaped(tensor, shape)
  if (found === undefined) {
    throw new BackendError('model-refused', `Output ${tensor.name} has no fixed size: [${shape.join(', ')}].`)
  }
  return found
}

/** The source stands here so that it is kept until now: the runtime reads a model's bytes where they are. */
function destroyModel(library: LiteRtLibrary, model: Pointer, _source: ModelSource): void {
  library.destroyModel(model)
}

/** LiteRtRankedTensorType: element type, rank in the low 7 bits of a bit field, 8 dimensions, 8 strides (unused). */
function rankedTensorType(tensor: TensorPlan): Uint8Array {
  const elementType = elementTypes[tensor.dtype]
  if (elementType === undefined || tensor.shape.length > 8) {
    const type = `${tensor.dtype} with ${tensor.shape.length} dimensions`
    throw new BackendError('model-refused', `Tensor ${tensor.name} is ${type}, which is not carried to LiteRT.`)
  }
  const struct = Buffer.alloc(72)
  struct.writeInt32LE(elementType, 0)
  struct.writeUInt32LE(tensor.shape.length, 4)
  for (const [index, dimension] of tensor.shape.entries()) struct.writeInt32LE(dimension, 8 + 4 * index)
  return struct
}

/**
 * The plan's names in the runtime's order. Without a signature in the file the runtime lists the tensors' own names, in
 * the subgraph's order.
 */
function matchNames(runtimeNames: string[], tensors: TensorPlan[], byPosition: boolean): string[] {
  const names = byPosition
    ? runtimeNames.map((_, position) => tensors.find((tensor) => tensor.position === position)?.name ?? '')
    : runtimeNames
  if (tensors.some((tensor) => !names.includes(tensor.name)) || names.length !== tensors.length) {
    throw new BackendError('model-refused', `LiteRT names the tensors [${runtimeNames.join(', ')}], the file others.`)
  }
  return names
}

function inRuntimeOrder(plans: TensorPlan[], bound: BoundTensor[], names: string[]): BigUint64Array {
  const buffers = new Map(plans.map((plan, index) => [plan.name, bound[index]?.buffer ?? 0n]))
  return BigUint64Array.from(names, (name) => buffers.get(name) ?? 0n)
}

function listNames(count: number, read: (index: number, target: [string | null]) => number): string[] {
  return Array.from({ length: count }, (_, index) => out<string>((target) => read(index, target)))
}

function out<T>(call: (target: [T | null]) => number, code: BackendError['code'] = 'model-refused'): T {
  const target: [T | null] = [null]
  check(call(target), code)
  if (target[0] === null) throw new BackendError(code, 'LiteRT gave nothing back.')
  return target[0]
}

function outNumber(call: (target: [number | bigint]) => number): number {
  const target: [number | bigint] = [0]
  check(call(target))
  return Number(target[0])
}

function check(status: number, code: BackendError['code'] = 'model-refused'): void {
  if (status !== 0) throw new BackendError(code, describeStatus(status))
}
