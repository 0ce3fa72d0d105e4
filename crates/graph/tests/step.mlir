module @program attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
  func.func public @main(%arg0: tensor<3x1xf32> {tf.aliasing_output = 1 : i32}, %arg1: tensor<i32>, %arg2: tensor<8x3xf32>) -> (tensor<f32>, tensor<3x1xf32>) {
    %2 = stablehlo.dot_general %arg2, %arg0, contracting_dims = [1] x [0], precision = [HIGHEST, HIGHEST] : (tensor<8x3xf32>, tensor<3x1xf32>) -> tensor<8x1xf32>
    %3 = stablehlo.multiply %2, %2 : tensor<8x1xf32>
    %start4 = stablehlo.constant dense<0.0e0> : tensor<f32>
    %4 = stablehlo.reduce(%3 init: %start4) applies stablehlo.add across dimensions = [0, 1] : (tensor<8x1xf32>, tensor<f32>) -> tensor<f32>
    %5 = stablehlo.constant dense<8.0e0> : tensor<f32>
    %6 = stablehlo.divide %4, %5 : tensor<f32>
    %7 = stablehlo.constant dense<1.0e0> : tensor<f32>
    %8 = stablehlo.divide %7, %5 : tensor<f32>
    %9 = stablehlo.broadcast_in_dim %8, dims = [] : (tensor<f32>) -> tensor<8x1xf32>
    %10 = stablehlo.multiply %9, %2 : tensor<8x1xf32>
    %11 = stablehlo.add %10, %10 : tensor<8x1xf32>
    %12 = stablehlo.dot_general %11, %arg2, contracting_dims = [0] x [0], precision = [HIGHEST, HIGHEST] : (tensor<8x1xf32>, tensor<8x3xf32>) -> tensor<1x3xf32>
    %13 = stablehlo.transpose %12, dims = [1, 0] : (tensor<1x3xf32>) -> tensor<3x1xf32>
    %15 = stablehlo.constant dense<1.0e-1> : tensor<f32>
    %16 = stablehlo.broadcast_in_dim %15, dims = [] : (tensor<f32>) -> tensor<3x1xf32>
    %17 = stablehlo.multiply %13, %16 : tensor<3x1xf32>
    %18 = stablehlo.subtract %arg0, %17 : tensor<3x1xf32>
    return %6, %18 : tensor<f32>, tensor<3x1xf32>
  }
}
