export type ColdStart = { transferMs: number; loadMs: number; firstRunMs: number }

const RATE = 0.2
/** Before anything was measured: 2 MB/s, 50 ms and 20 ms/MB to load, a first run of three times the usual. */
const START = { bytesPerMs: 2_000, loadMsPerByte: 20e-6, loadMs: 50, firstRunRatio: 3 }

/** The parts of a cold start on one device, each predicted from its own measurements, because each has its own cause. */
export class ColdStartModel {
  #logBytesPerMs = Math.log(START.bytesPerMs)
  #logLoadFactor = 0
  #logFirstRunRatio = Math.log(START.firstRunRatio)

  observeTransfer(bytes: number, ms: number): void {
    if (bytes > 0 && ms > 0) this.#logBytesPerMs += RATE * (Math.log(bytes / ms) - this.#logBytesPerMs)
  }

  observeLoad(bytes: number, ms: number): void {
    if (ms > 0) this.#logLoadFactor += RATE * (Math.log(ms / usualLoadMs(bytes)) - this.#logLoadFactor)
  }

  observeFirstRun(ms: number, usualMs: number): void {
    if (ms > 0 && usualMs > 0) this.#logFirstRunRatio += RATE * (Math.log(ms / usualMs) - this.#logFirstRunRatio)
  }

  /** `firstRunMs` is what the first run takes beyond a usual one. */
  predict(bytes: number, usualMs: number): ColdStart {
    return {
      transferMs: bytes / Math.exp(this.#logBytesPerMs),
      loadMs: usualLoadMs(bytes) * Math.exp(this.#logLoadFactor),
      firstRunMs: Math.max(0, Math.exp(this.#logFirstRunRatio) - 1) * usualMs
    }
  }
}

const usualLoadMs = (bytes: number): number => START.loadMs + START.loadMsPerByte * bytes
