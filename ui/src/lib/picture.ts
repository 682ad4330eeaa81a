// A picture as its brightness, for the shell to look for a QR code in it: the web view decodes it, whatever its format.

/** The longest side that is looked at: a code that fills the picture is found in the small one, one on a photograph in the large one. */
const SIDES = [700, 1600];

export interface Luma {
  width: number;
  /** A byte for each point, row by row, in base64. */
  luma: string;
}

/** The sizes of a picture that are worth a look, smallest first; none where it is no picture. */
export async function* lumas(file: Blob): AsyncGenerator<Luma> {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (bitmap === null) return;
  const longest = Math.max(bitmap.width, bitmap.height);
  for (const [at, side] of SIDES.entries()) {
    if (at > 0 && longest <= SIDES[at - 1]!) return;
    yield luma(bitmap, Math.min(1, side / longest));
  }
}

function luma(bitmap: ImageBitmap, scale: number): Luma {
  const width = Math.max(1, Math.round(bitmap.width * scale));
  const height = Math.max(1, Math.round(bitmap.height * scale));
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext('2d')!;
  // What shines through is paper.
  context.fillStyle = '#fff';
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  let bytes = '';
  for (let point = 0; point < data.length; point += 4) bytes += String.fromCharCode(Math.round(0.299 * data[point]! + 0.587 * data[point + 1]! + 0.114 * data[point + 2]!));
  return { width, luma: btoa(bytes) };
}
