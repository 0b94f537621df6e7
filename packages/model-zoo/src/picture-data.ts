import path from 'node:path'
import { madeFolder } from './scripts.ts'
import type { ZooContext } from './zoo-model.ts'

/** Real pictures as a model's input. `faces`: small ones, half of them faces; `tiles`: cuts of photographs. */
export type PictureData = {
  kind: 'faces' | 'tiles' | 'both'
  input: string
  height: number
  width: number
  channels: 1 | 3
  /** value = pixel * scale + offset, pixels 0 to 255. */
  scale: number
  offset: number
  dtype?: 'float32' | 'int32' | 'uint8'
  /** With `y`: whether it is a face. Only for `faces`. */
  labelled?: boolean
  /** Default 100. */
  calibration?: number
  /** Default 80; the first of those that calibration has nothing of. */
  evaluation?: number
}

type DataPaths = { calibrationPath: string; evaluationPath: string }

const scripts = ['pictures.py']

/** .npz files of the pictures. */
export async function pictureData(context: ZooContext, data: PictureData): Promise<DataPaths> {
  const wanted = JSON.stringify({ calibration: 100, evaluation: 80, dtype: 'float32', ...data })
  const folder = await madeFolder(context, `pictures-${data.kind}`, 'picture_data.py', [wanted], scripts)
  return {
    calibrationPath: path.join(folder, 'calibration.npz'),
    evaluationPath: path.join(folder, 'evaluation.npz')
  }
}

/** Zip archives of the pictures as PNG files, for the model's own preprocessing to read. */
export async function pictureArchives(context: ZooContext, kind: PictureData['kind']): Promise<DataPaths> {
  const wanted = JSON.stringify({ kind, images: true, calibration: 64, evaluation: 72 })
  const folder = await madeFolder(context, `images-${kind}`, 'picture_data.py', [wanted], scripts)
  return {
    calibrationPath: path.join(folder, 'calibration.zip'),
    evaluationPath: path.join(folder, 'evaluation.zip')
  }
}

/** 0..255 becomes -1..1. */
export const signed = { scale: 1 / 127.5, offset: -1 } as const
/** 0..255 becomes 0..1. */
export const unit = { scale: 1 / 255, offset: 0 } as const
/** 0..255 stays. */
export const raw = { scale: 1, offset: 0 } as const
