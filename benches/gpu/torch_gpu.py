"""What `cargo bench --bench gpu` times, in PyTorch on a CUDA device: python3 benches/gpu/torch_gpu.py"""
import torch
import torch.nn.functional as F

torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False
device = "cuda"


def milliseconds(body):
    def row(runs):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        for _ in range(runs):
            body()
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end) / runs

    row(3)
    runs = int(min(max(30 / row(2), 1), 100))
    return sorted(row(runs) for _ in range(7))[3]


def report(name, body):
    print(f"{name:<34} {milliseconds(body):>10.4f} ms", flush=True)


def random(*shape, dtype=torch.float32, grad=False):
    return (torch.randn(*shape, device=device) * 0.1).to(dtype).requires_grad_(grad)


def backward(name, f, *inputs):
    y = f(*inputs)
    dy = torch.randn_like(y)
    report(name, lambda: torch.autograd.grad(y, inputs, dy, retain_graph=True))


print(torch.cuda.get_device_name(0), "PyTorch", torch.__version__)
for dtype, short in [(torch.float32, "f32"), (torch.float16, "f16")]:
    for n in [1024, 4096, 8192]:
        a, b = random(n, n, dtype=dtype), random(n, n, dtype=dtype)
        report(f"matmul {n} {short}", lambda: a @ b)

x, w = random(32768, 1024, grad=True), random(1024)
for name, f in [
    ("gelu", F.gelu),
    ("softmax", lambda x: x.softmax(-1)),
    ("layer_norm", lambda x: F.layer_norm(x, (1024,), w, w)),
    ("sum", lambda x: x.sum(-1)),
]:
    with torch.no_grad():
        report(f"{name} 32768x1024", lambda: f(x))
    backward(f"{name} 32768x1024 backward", f, x)

for dtype, short in [(torch.float32, "f32"), (torch.float16, "f16")]:
    q, k, v = (random(4, 16, 1024, 64, dtype=dtype, grad=True) for _ in range(3))
    with torch.no_grad():
        report(f"attention 4x16x1024x64 {short}", lambda: F.scaled_dot_product_attention(q, k, v))
    dy = torch.randn_like(q)
    name = f"attention 4x16x1024x64 {short} + backward"
    report(name, lambda: torch.autograd.grad(F.scaled_dot_product_attention(q, k, v), (q, k, v), dy))


def training(name, model, loss):
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss(model).backward()
        optimizer.step()

    report(name, step)


x = random(8, 64, 256)
for enabled, what in [(False, "without cuDNN"), (True, "cuDNN")]:
    torch.backends.cudnn.enabled = enabled
    lstm = torch.nn.LSTM(256, 256, batch_first=True).to(device)
    training(f"lstm 8x64x256 step, {what}", lstm, lambda m: m(x)[0].square().sum())

try:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    bert = BertForSequenceClassification(config).to(device).train()
    ids = torch.zeros(8, 128, dtype=torch.long, device=device)
    label = torch.zeros(8, dtype=torch.long, device=device)
    training("bert base 8x128 step", bert, lambda m: F.cross_entropy(m(ids).logits, label))
except ImportError as error:
    print("bert base 8x128 step: SKIPPED,", error)

try:
    from torchvision.models import alexnet

    images = random(64, 3, 224, 224)
    label = torch.zeros(64, dtype=torch.long, device=device)
    training("alexnet 64 step", alexnet().to(device).train(), lambda m: F.cross_entropy(m(images), label))
except ImportError as error:
    print("alexnet 64 step: SKIPPED,", error)
