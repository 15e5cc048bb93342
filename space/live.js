// Sends camera frames to the server and shows what comes back. Some are on their way at a time: others are dropped.
const SIDE = 320, QUALITY = 0.8, ON_THE_WAY = 3, RATE = 20;
const camera = document.createElement('video');
camera.muted = true; camera.playsInline = true;
const q = name => element.querySelector(name);
let turn = 0;

async function run(word) {
  const mine = ++turn;
  if (!word) return;
  try {
    const video = {width: SIDE, height: SIDE * 3 / 4, frameRate: RATE, facingMode: 'user'};
    camera.srcObject = await navigator.mediaDevices.getUserMedia({video});
    await camera.play();
  } catch (error) {
    q('.told').textContent = 'The camera cannot be used: ' + error.message;
    await server.live_end([word]);
    return;
  }
  const times = [];
  let on = true, sent = 0, shown = 0, told = 0;
  const show = async (answer, number, began) => {
    if (number < shown) return;
    shown = number;
    const image = q('img');
    image.src = answer; image.hidden = false;
    await image.decode().catch(() => null);
    const now = performance.now();
    times.push([now, now - began]);
    while (times.length > 30 && now - times[0][0] > 3000) times.shift();
    if (now - told < 500 || times.length < 2) return;
    told = now;
    const delays = times.map(each => each[1]).sort((a, b) => a - b);
    const rate = 1000 * (times.length - 1) / (now - times[0][0]);
    q('.told').textContent = `${rate.toFixed(1)} frames/s, latency ${delays[Math.floor(delays.length / 2)].toFixed(0)} ms`;
  };
  const frames = async () => {
    const canvas = document.createElement('canvas'), context = canvas.getContext('2d', {willReadFrequently: true});
    while (on && mine === turn && element.isConnected) {
      const scale = SIDE / Math.max(camera.videoWidth, camera.videoHeight);
      canvas.width = Math.round(camera.videoWidth * scale); canvas.height = Math.round(camera.videoHeight * scale);
      const began = performance.now(), number = ++sent;
      context.setTransform(-1, 0, 0, 1, canvas.width, 0);  // as in a mirror
      context.drawImage(camera, 0, 0, canvas.width, canvas.height);
      const answer = await server.live_frame([word, canvas.toDataURL('image/jpeg', QUALITY)]).catch(() => '');
      if (!answer) { on = false; q('.told').textContent = 'It ended. Press Start to begin again.'; return; }
      if (on && mine === turn) show(answer, number, began);
    }
  };
  await Promise.all(Array.from({length: ON_THE_WAY}, frames));
  await server.live_end([word]);
  if (mine === turn) camera.srcObject.getTracks().forEach(track => track.stop());
}
watch('value', () => run(props.value));
if (props.value) run(props.value);  // Start was quicker than this page
