"""A Keras model as the policy's network, meta-trained by MAML: its weights are what adapts, and what is differentiated twice.

From a terminal beside this file: `innerloop train maml --tasks point-goal --set inner.keras=08_keras_policy:network`.
"""


def network(inputs):
    import keras

    return keras.Sequential(
        [
            keras.Input((inputs,)),
            keras.layers.Dense(64, activation="tanh"),
            keras.layers.LayerNormalization(),
            keras.layers.Dense(64, activation="tanh"),
        ]
    )


if __name__ == "__main__":
    import innerloop

    settings = {"inner.keras": "08_keras_policy:network", "evaluations": 1, "held_out": 4}
    run = innerloop.train("maml", tasks="point-goal", steps=240_000, settings=settings, quiet=True)
    for point in run.evaluate(tasks=20, baselines=False)["curve"]:
        print(f"after {point['experience']} gradient steps: return {point['mean']:.1f}")
