import { ConversionError } from './conversion-error.ts'
import type { ConverterWorker } from './converter-worker.ts'
import type { LayerError, NameMap } from './types.ts'

/** What is needed of a ConverterWorker here: one request, its events, then the end or a ConversionError. */
export type LayerWorker = Pick<ConverterWorker, 'run'>

const defaultLimit = 32

/**
 * Runs the float and the quantized file side by side on the first `limit` samples (default 32), and says where the
 * signal is lost: the layer first that itself loses the largest share of it. Layers of both files are matched by the
 * names of their tensors, else by place where both run the same operators; layers that are constant over the samples
 * are left out.
 *
 * @throws ConversionError: `converter-failed` where a file holds operators that cannot run one by one here, or the
 * worker's own.
 */
export async function findWorstLayers(options: {
  worker: LayerWorker
  floatPath: string
  quantizedPath: string
  /** samples.npz of the conversion: arrays `x:NAME`, by the original's names. */
  samplesPath: string
  /** From the original's names to the files'. */
  names: NameMap
  temporaryFolder: string
  signal: AbortSignal
  limit?: number
  onLog?: (line: string) => void
}): Promise<LayerError[]> {
  const { worker, floatPath, quantizedPath, samplesPath, names, temporaryFolder, signal, onLog } = options
  const limit = options.limit ?? defaultLimit
  let layers: LayerError[] = []
  await worker.run(
    { kind: 'layers', floatPath, quantizedPath, samplesPath, names, limit, workDir: temporaryFolder },
    {
      temporaryFolder,
      signal,
      onEvent: (event) => {
        if (event.event === 'layers') layers = readLayers(event.layers)
      },
      ...(onLog === undefined ? {} : { onLog })
    }
  )
  return layers
}

/** A file that takes its process over writes what it likes: so nothing but what layers.py documents is let through. */
function readLayers(value: unknown): LayerError[] {
  if (!Array.isArray(value)) throw unreadable()
  return value.map((each: unknown) => {
    if (typeof each !== 'object' || each === null) throw unreadable()
    const { tensor, operator, position, snrDb, lossDb } = each as Record<string, unknown>
    const complete = typeof tensor === 'string' && typeof operator === 'string' && typeof position === 'number'
    if (!complete || !isMeasure(snrDb) || !isMeasure(lossDb)) throw unreadable()
    return { tensor, operator, position, snrDb, lossDb }
  })
}

const isMeasure = (value: unknown): value is number | null => value === null || Number.isFinite(value)

const unreadable = () => new ConversionError('converter-failed', 'The comparison of the layers cannot be read.')
